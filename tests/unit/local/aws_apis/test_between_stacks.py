"""Exports and imports, nested stacks, transforms, values of SSM."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import local_cloud, registries
from kit.local_cloud import LocalCloud, change_set, changed, delete, deploy, events, execute

QUEUE = {"Type": "AWS::SQS::Queue"}


def parameter(value: Any, name: str = "") -> dict[str, Any]:
    properties = {"Type": "String", "Value": value} | ({"Name": name} if name else {})
    return {"Type": "AWS::SSM::Parameter", "Properties": properties}


def exporting(name: str, value: str, **more: Any) -> dict[str, Any]:
    export = {"Export": {"Name": {"Fn::Sub": name}}} if name else {}
    return {"Resources": {"rA": QUEUE, **more}, "Outputs": {"oOut": {"Value": value, **export}}}


def importing(name: str, target: str) -> dict[str, Any]:
    return {"Resources": {"rA": parameter({"Fn::ImportValue": {"Fn::Sub": name}}, target)}}


def value(cloud: LocalCloud, name: str) -> str:
    return str(cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def test_an_export_is_imported_listed_and_kept_while_it_is_in_use(cloud: LocalCloud) -> None:
    client = cloud.client("cloudformation")
    deploy(cloud, "exports", exporting("${AWS::StackName}-Out", "one"))
    deploy(cloud, "imports", importing("exports-Out", "/imported"))
    assert value(cloud, "/imported") == "one"
    listed = {each["Name"]: each["Value"] for each in client.list_exports()["Exports"]}
    assert listed["exports-Out"] == "one"
    assert client.list_imports(ExportName="exports-Out")["Imports"] == ["imports"]

    for template, word in ((exporting("", "one"), "deleted"),
                           (exporting("${AWS::StackName}-Out", "two"), "updated")):  # fmt: skip
        change_set(cloud, "exports", template)
        stack = execute(cloud, "exports")
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        reasons = [r for n, s, r in events(cloud, "exports")
                   if (n, s) == ("exports", "UPDATE_ROLLBACK_IN_PROGRESS")]  # fmt: skip
        said = f"Export exports-Out cannot be {word} as it is in use by imports"
        assert reasons[-1].startswith(said)
        assert value(cloud, "/imported") == "one"

    stack = delete(cloud, "exports")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    said = "Export exports-Out cannot be deleted as it is in use by imports"
    assert stack["StackStatusReason"] == said
    assert delete(cloud, "imports")["StackStatus"] == "DELETE_COMPLETE"
    assert delete(cloud, "exports")["StackStatus"] == "DELETE_COMPLETE"
    assert "exports-Out" not in [each["Name"] for each in client.list_exports()["Exports"]]
    with pytest.raises(client.exceptions.ClientError, match="is not imported by any stack"):
        client.list_imports(ExportName="exports-Out")


def test_a_name_is_exported_once(cloud: LocalCloud) -> None:
    deploy(cloud, "exports-first", exporting("taken", "one"))
    stack = deploy(cloud, "exports-second", exporting("taken", "two"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    told = events(cloud, "exports-second")
    assert [r for _, s, r in told if s == "ROLLBACK_IN_PROGRESS" and
            "Export with name taken is already exported by stack exports-first" in r]  # fmt: skip


def test_values_of_ssm(cloud: LocalCloud) -> None:
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/given", Type="String", Value="one")
    template = {
        "Parameters": {"pIt": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/given"}},
        "Resources": {
            "rByParameter": parameter({"Ref": "pIt"}, "/by-parameter"),
            "rByReference": parameter("<{{resolve:ssm:/given}}>", "/by-reference"),
        },
    }
    stack = deploy(cloud, "values", template)
    assert stack["Parameters"] == [
        {"ParameterKey": "pIt", "ParameterValue": "/given", "ResolvedValue": "one"}
    ]
    ssm.put_parameter(Name="/given", Type="String", Value="two", Overwrite=True)
    made = change_set(cloud, "values", template)
    assert changed(made) == {"rByParameter": "Modify", "rByReference": "Modify"}
    execute(cloud, "values")
    assert (value(cloud, "/by-parameter"), value(cloud, "/by-reference")) == ("two", "<two>")

    absent = {"Resources": {"rA": parameter("{{resolve:ssm:/absent}}")}}
    made = change_set(cloud, "absent", absent, ChangeSetType="CREATE")
    assert made["StatusReason"] == (
        "Unable to fetch parameters [/absent] from parameter store for this account."
    )


@pytest.fixture(scope="module")
def bucket(cloud: LocalCloud) -> str:
    cloud.client("s3").create_bucket(Bucket="parts")
    return f"{cloud.cloud.endpoint}/parts"


def put(cloud: LocalCloud, key: str, document: Any) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    cloud.client("s3").put_object(Bucket="parts", Key=key, Body=text)


def child(name: str = "") -> dict[str, Any]:
    properties = {"QueueName": name or {"Ref": "pName"}}
    return {
        "Parameters": {"pName": {"Type": "String"}, "pList": {"Type": "CommaDelimitedList"}},
        "Resources": {"rQueue": {**QUEUE, "Properties": properties}},
        "Outputs": {
            "oUrl": {"Value": {"Ref": "rQueue"}},
            "oLast": {"Value": {"Fn::Select": [1, {"Ref": "pList"}]}},
        },
    }


def parent(url: str, name: str) -> dict[str, Any]:
    given = {"TemplateURL": url, "Parameters": {"pName": name, "pList": ["a", "b"]}}
    return {
        "Resources": {
            "rChild": {"Type": "AWS::CloudFormation::Stack", "Properties": given},
            "rTold": parameter({"Fn::GetAtt": "rChild.Outputs.oUrl"}, "/nested"),
        },
        "Outputs": {"oLast": {"Value": {"Fn::GetAtt": ["rChild", "Outputs.oLast"]}}},
    }


def test_a_nested_stack(cloud: LocalCloud, bucket: str) -> None:
    put(cloud, "child.json", child())
    url = f"{bucket}/child.json"
    stack = deploy(cloud, "parent", parent(url, "nested-1"), Tags=[{"Key": "t", "Value": "1"}])
    assert stack["StackStatus"] == "CREATE_COMPLETE", events(cloud, "parent")
    assert stack["Outputs"][0]["OutputValue"] == "b"
    sqs = cloud.client("sqs")
    queue = sqs.get_queue_url(QueueName="nested-1")["QueueUrl"]
    assert value(cloud, "/nested") == queue
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"t": "1"}
    client = cloud.client("cloudformation")
    [found] = [each["PhysicalResourceId"]
               for each in client.list_stack_resources(StackName="parent")["StackResourceSummaries"]
               if each["LogicalResourceId"] == "rChild"]  # fmt: skip
    [inner] = client.describe_stacks(StackName=found)["Stacks"]
    assert inner["StackName"].startswith("parent-rChild-")

    made = change_set(cloud, "parent", parent(url, "nested-2"), IncludeNestedStacks=True)
    assert changed(made) == {"rChild": "Modify", "rTold": "Modify"}
    inside = made["Changes"][0]["ResourceChange"]["ChangeSetId"]
    looked = client.describe_change_set(ChangeSetName=inside)
    assert changed(looked) == {"rQueue": "Modify True"}
    assert looked["ParentChangeSetId"] == made["ChangeSetId"]
    with pytest.raises(client.exceptions.ClientError, match="execute the root change set"):
        client.execute_change_set(ChangeSetName=inside)
    execute(cloud, "parent")
    assert value(cloud, "/nested").endswith("/nested-2")
    assert delete(cloud, "parent")["StackStatus"] == "DELETE_COMPLETE"
    [inner] = client.describe_stacks(StackName=found)["Stacks"]
    assert inner["StackStatus"] == "DELETE_COMPLETE"


def test_a_nested_stack_that_fails_takes_its_parent_along(cloud: LocalCloud, bucket: str) -> None:
    cloud.client("sqs").create_queue(QueueName="in-the-way")
    put(cloud, "failing.json", child("in-the-way"))
    stack = deploy(cloud, "failing", parent(f"{bucket}/failing.json", "x"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [r for n, s, r in events(cloud, "failing") if (n, s) == ("rChild", "CREATE_FAILED")]
    assert "rQueue: in-the-way already exists" in reasons[0]
    stacks = cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert not [each for each in stacks if each["StackName"].startswith("failing-rChild")]


def test_loops(cloud: LocalCloud) -> None:
    queue = {**QUEUE, "Properties": {"QueueName": {"Fn::Sub": "${pPrefix}-${Name}"}}}
    template = {
        "Transform": "AWS::LanguageExtensions",
        "Parameters": {"pPrefix": {"Type": "String"}},
        "Resources": {"Fn::ForEach::Queues": ["Name", ["one", "two"], {"rQueue${Name}": queue}]},
    }
    made = change_set(cloud, "loops", template, {"pPrefix": "loop"}, ChangeSetType="CREATE",
                      Capabilities=[])  # fmt: skip
    assert changed(made) == {"rQueueone": "Add", "rQueuetwo": "Add"}
    execute(cloud, "loops")
    urls = cloud.client("sqs").list_queues(QueueNamePrefix="loop-")["QueueUrls"]
    assert len(urls) == 2
    client = cloud.client("cloudformation")
    original = client.get_template(StackName="loops")["TemplateBody"]
    assert original == template
    processed = client.get_template(StackName="loops", TemplateStage="Processed")["TemplateBody"]
    assert list(processed["Resources"]) == ["rQueueone", "rQueuetwo"]
    broken = {**template, "Resources": {"Fn::ForEach::Q": ["Name", ["a"], {"r": QUEUE, "x": 1}]}}
    broken["Resources"]["Fn::ForEach::Q"][1] = "text"
    made = change_set(cloud, "loops", broken, {"pPrefix": "loop"})
    assert made["Status"] == "FAILED"
    assert "Transform AWS::LanguageExtensions failed with" in made["StatusReason"]


def test_a_stack_made_without_a_change_set_needs_consent_to_transforms(cloud: LocalCloud) -> None:
    client = cloud.client("cloudformation")
    template = json.dumps({"Transform": "AWS::LanguageExtensions", "Resources": {"rA": QUEUE}})
    with pytest.raises(client.exceptions.InsufficientCapabilitiesException) as raised:
        client.create_stack(StackName="consent", TemplateBody=template)
    assert "Requires capabilities : [CAPABILITY_AUTO_EXPAND]" in str(raised.value)
    client.create_stack(
        StackName="consent", TemplateBody=template, Capabilities=["CAPABILITY_AUTO_EXPAND"]
    )
    assert local_cloud.after(cloud, "consent")["StackStatus"] == "CREATE_COMPLETE"


def test_snippets_from_a_bucket(cloud: LocalCloud, bucket: str) -> None:
    put(cloud, "outputs.yaml", "oUrl: {Value: !Ref rA}\n")
    include = {"Name": "AWS::Include", "Parameters": {"Location": "s3://parts/outputs.yaml"}}
    template = {"Resources": {"rA": QUEUE}, "Outputs": {"Fn::Transform": include}}
    stack = deploy(cloud, "snippets", template)
    assert [each["OutputKey"] for each in stack["Outputs"]] == ["oUrl"]
    whole = {"Resources": {"rA": QUEUE, "rB": QUEUE}, "Transform": include}
    include["Parameters"]["Location"] = f"{bucket}/top.yaml"
    put(cloud, "top.yaml", "Outputs: {oWhole: {Value: !Ref rB}}\n")
    stack = deploy(cloud, "snippets", whole)
    assert [each["OutputKey"] for each in stack["Outputs"]] == ["oWhole"]
    include["Parameters"]["Location"] = f"{bucket}/absent.yaml"
    made = change_set(cloud, "snippets", template)
    assert "S3 error: The specified key does not exist." in made["StatusReason"]
    put(cloud, "broken.yaml", "a: [")
    include["Parameters"]["Location"] = f"{bucket}/broken.yaml"
    made = change_set(cloud, "snippets", template, name="d")
    assert "should be valid Yaml/JSON" in made["StatusReason"]


def test_a_transform_that_nobody_has(cloud: LocalCloud) -> None:
    template = {"Transform": "Own::Macro", "Resources": {"rA": QUEUE}}
    made = change_set(cloud, "macro", template, ChangeSetType="CREATE")
    assert made["StatusReason"] == "No transform named Own::Macro found."


def test_sam(cloud: LocalCloud, registry: str) -> None:
    registries.push_image(registry, "sam", "one")
    uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sam:one"
    schedule = {"Type": "Schedule", "Properties": {"Schedule": "rate(1 hour)"}}
    image = {"PackageType": "Image", "ImageUri": uri, "FunctionName": "sam-image",
             "Events": {"Often": schedule}}  # fmt: skip
    code = {"Runtime": "python3.13", "Handler": "index.h", "InlineCode": "x = 1", "Timeout": 9}
    definition = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
    role = {"Fn::GetAtt": "rImageRole.Arn"}
    machine = {"Definition": definition, "Role": role}
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "rImage": {"Type": "AWS::Serverless::Function", "Properties": image},
            "rCode": {"Type": "AWS::Serverless::Function", "Properties": code},
            "rMachine": {"Type": "AWS::Serverless::StateMachine", "Properties": machine},
        },
    }
    made = change_set(cloud, "sam", template, ChangeSetType="CREATE")
    assert made["Status"] == "CREATE_COMPLETE", made["StatusReason"]
    stack = execute(cloud, "sam")
    assert stack["StackStatus"] == "CREATE_COMPLETE", events(cloud, "sam")
    found = cloud.client("lambda").get_function(FunctionName="sam-image")
    assert found["Code"]["ImageUri"] == uri
    attached = cloud.client("iam").list_attached_role_policies(
        RoleName=found["Configuration"]["Role"].rpartition("/")[2]
    )["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AWSLambdaBasicExecutionRole"]
    [rule] = [each for each in cloud.client("events").list_rules()["Rules"]
              if each["Name"].startswith("sam-rImageOften")]  # fmt: skip
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert delete(cloud, "sam")["StackStatus"] == "DELETE_COMPLETE"

    template["Resources"]["rCode"]["Properties"] = {"Odd": 1}
    made = change_set(cloud, "sam-bad", template, ChangeSetType="CREATE")
    assert "Transform AWS::Serverless-2016-10-31 failed with" in made["StatusReason"]
    # What SAM makes counts for the capabilities, too.
    del template["Resources"]["rCode"]
    made = change_set(cloud, "sam-iam", template, ChangeSetType="CREATE", Capabilities=[])
    assert made["StatusReason"] == "Requires capabilities : [CAPABILITY_IAM]"
