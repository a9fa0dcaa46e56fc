"""Functions and what belongs to them: made, changed in place, deleted."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from typing import Any

import pytest
from kit import registries
from kit.local_cloud import LocalCloud, change_set, changed, delete, deploy, events, execute

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TRUST = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                        "Principal": {"Service": "lambda.amazonaws.com"}}]}  # fmt: skip
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
ARN = "arn:aws:lambda:us-east-1:123456789012:function"


def function(name: str, more: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A template of one function, rIt, its role, and ``more`` resources."""
    made = {"FunctionName": name, "Role": {"Fn::GetAtt": "rRole.Arn"}, **properties}
    it = {"Type": "AWS::Lambda::Function", "Properties": made}
    return {"Resources": {"rRole": ROLE, "rIt": it, **(more or {})}}


def inline(name: str, more: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    given = {"Runtime": "python3.13", "Handler": "index.h", "Code": {"ZipFile": "x = 1\n"}}
    return function(name, more, **(given | properties))


def configuration(cloud: LocalCloud, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("lambda").get_function_configuration(FunctionName=name)
    return found


def test_an_image_function_and_a_new_image(cloud: LocalCloud, registry: str) -> None:
    one = registries.push_image(registry, "dev-image", "one", content="1")
    two = registries.push_image(registry, "dev-image", "two", content="2")

    def template(uri: str, **more: Any) -> dict[str, Any]:
        return function("image", PackageType="Image", Code={"ImageUri": uri}, Timeout="30",
                        MemorySize=256, Architectures=["x86_64"],
                        Environment={"Variables": {"A": "1", "N": 2}}, **more)  # fmt: skip

    tags = [{"Key": "team", "Value": "one"}]
    deploy(cloud, "image", template(f"{ECR}/dev-image@{one}"), Tags=tags)
    found = cloud.client("lambda").get_function(FunctionName="image")
    assert found["Code"]["ResolvedImageUri"] == f"{ECR}/dev-image@{one}"
    assert found["Tags"] == {"team": "one"}
    about = found["Configuration"]
    assert (about["Timeout"], about["MemorySize"], about["PackageType"]) == (30, 256, "Image")
    assert about["Environment"]["Variables"] == {"A": "1", "N": "2"}

    made = change_set(cloud, "image", template(f"{ECR}/dev-image@{two}"), Tags=tags)
    assert changed(made) == {"rIt": "Modify"}
    [detail] = made["Changes"][0]["ResourceChange"]["Details"]
    assert detail["Target"]["Name"] == "Code"
    execute(cloud, "image")
    found = cloud.client("lambda").get_function(FunctionName="image")
    assert found["Code"]["ResolvedImageUri"] == f"{ECR}/dev-image@{two}"
    # An image that is not there fails the update, and the old one goes on.
    change_set(cloud, "image", template(f"{ECR}/dev-image:three", Description="new"), Tags=tags)
    assert execute(cloud, "image")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reasons = [r for n, s, r in events(cloud, "image") if (n, s) == ("rIt", "UPDATE_FAILED")]
    assert f"Source image {ECR}/dev-image:three does not exist." in reasons[0]
    found = cloud.client("lambda").get_function(FunctionName="image")
    assert found["Code"]["ResolvedImageUri"] == f"{ECR}/dev-image@{two}"
    assert found["Configuration"]["Description"] == ""


def test_configuration_that_is_left_out_goes_back_to_its_default(cloud: LocalCloud) -> None:
    deploy(cloud, "defaults", inline(
        "defaults", Timeout=60, MemorySize=512, Description="d", Layers=[],
        Environment={"Variables": {"A": "1"}}, EphemeralStorage={"Size": 1024},
        ReservedConcurrentExecutions=3,
    ))  # fmt: skip
    found = configuration(cloud, "defaults")
    assert (found["Timeout"], found["MemorySize"], found["EphemeralStorage"]["Size"]) == (
        60, 512, 1024
    )  # fmt: skip
    concurrency = cloud.client("lambda").get_function_concurrency(FunctionName="defaults")
    assert concurrency["ReservedConcurrentExecutions"] == 3
    deploy(cloud, "defaults", inline("defaults"))
    found = configuration(cloud, "defaults")
    assert (found["Timeout"], found["MemorySize"], found["EphemeralStorage"]["Size"]) == (
        3, 128, 512
    )  # fmt: skip
    assert found["Description"] == ""
    assert found.get("Environment", {}).get("Variables", {}) == {}
    concurrency = cloud.client("lambda").get_function_concurrency(FunctionName="defaults")
    assert "ReservedConcurrentExecutions" not in concurrency


@pytest.mark.parametrize(
    ("properties", "fate"),
    [
        ({"Timeout": 9}, "Modify"),
        ({"FunctionName": "replaces-2"}, "Modify True"),
        ({"Architectures": ["arm64"]}, "Modify"),
    ],
)
def test_what_replaces_a_function(cloud: LocalCloud, properties: dict[str, Any], fate: str) -> None:
    stack = cloud.client("cloudformation")
    if not [each for each in stack.list_stacks()["StackSummaries"]
            if each["StackName"] == "replaces"]:  # fmt: skip
        deploy(cloud, "replaces", inline("replaces"))
    template = inline("replaces")
    template["Resources"]["rIt"]["Properties"] |= properties
    made = change_set(cloud, "replaces", template)
    assert changed(made) == {"rIt": fate}
    stack.delete_change_set(StackName="replaces", ChangeSetName="c")


def test_code_in_a_bucket(cloud: LocalCloud) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", "y = 2\n")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="one.zip", Body=buffer.getvalue())
    deploy(cloud, "zipped", inline("zipped", Code={"S3Bucket": "code", "S3Key": "one.zip"}))
    assert configuration(cloud, "zipped")["CodeSize"] == len(buffer.getvalue())
    absent = inline("absent", Code={"S3Bucket": "code", "S3Key": "two.zip"})
    assert deploy(cloud, "absent", absent)["StackStatus"] == "ROLLBACK_COMPLETE"


def test_a_property_of_another_service_is_refused(cloud: LocalCloud) -> None:
    stack = deploy(cloud, "odd", inline("odd", Environment={"Variable": {}}))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert ("rIt", "CREATE_FAILED", "Encountered unsupported property Environment.Variable") in (
        events(cloud, "odd")
    )


def source(visible: int, batch: int = 10, **more: Any) -> dict[str, Any]:
    queue = {"QueueName": "feeds", "VisibilityTimeout": visible}
    mapping = {"EventSourceArn": {"Fn::GetAtt": "rQueue.Arn"}, "FunctionName": {"Ref": "rIt"},
               "BatchSize": batch, "FunctionResponseTypes": ["ReportBatchItemFailures"],
               **more}  # fmt: skip
    return {
        "rQueue": {"Type": "AWS::SQS::Queue", "Properties": queue},
        "rSource": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
    }


def test_an_event_source(cloud: LocalCloud) -> None:
    functions = cloud.client("lambda")
    deploy(cloud, "feeds", inline("feeds", source(60, Enabled="true"), Timeout=30))
    [found] = functions.list_event_source_mappings(FunctionName="feeds")["EventSourceMappings"]
    assert (found["BatchSize"], found["State"]) == (10, "Enabled")
    assert found["EventSourceArn"].endswith(":feeds")
    assert found["FunctionArn"] == f"{ARN}:feeds"
    deploy(cloud, "feeds", inline("feeds", source(60, 5, Enabled=False), Timeout=30))
    [after] = functions.list_event_source_mappings(FunctionName="feeds")["EventSourceMappings"]
    assert (after["BatchSize"], after["State"]) == (5, "Disabled")
    assert after["UUID"] == found["UUID"]
    delete(cloud, "feeds")
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []


@pytest.mark.parametrize(
    ("visible", "batch", "what"),
    [
        (30, 10, "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"),
        (60, 11, "Maximum batch window in seconds must be greater than 0"),
    ],
)
def test_an_event_source_that_lambda_refuses(
    cloud: LocalCloud, visible: int, batch: int, what: str
) -> None:
    stack = deploy(cloud, "refuses", inline("refuses", source(visible, batch), Timeout=60))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [r for n, s, r in events(cloud, "refuses") if (n, s) == ("rSource", "CREATE_FAILED")]
    assert what in reasons[0]
    delete(cloud, "refuses")


def test_permissions_and_asynchronous_invocation(cloud: LocalCloud) -> None:
    def more(retries: int, source: str) -> dict[str, Any]:
        permission = {"FunctionName": {"Ref": "rIt"}, "Action": "lambda:InvokeFunction",
                      "Principal": "events.amazonaws.com", "SourceArn": source}  # fmt: skip
        invocations = {"FunctionName": {"Ref": "rIt"}, "Qualifier": "$LATEST",
                       "MaximumRetryAttempts": retries,
                       "MaximumEventAgeInSeconds": "300"}  # fmt: skip
        return {
            "rMay": {"Type": "AWS::Lambda::Permission", "Properties": permission},
            "rAsync": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": invocations},
        }

    functions = cloud.client("lambda")
    rule = "arn:aws:events:us-east-1:123456789012:rule"
    for number in (0, 1):
        template = inline("parts", more(number, f"{rule}/{number}"))
        if number:
            made = change_set(cloud, "parts", template)
            assert changed(made) == {"rAsync": "Modify", "rMay": "Modify True"}
            execute(cloud, "parts")
        else:
            deploy(cloud, "parts", template)
        config = functions.get_function_event_invoke_config(FunctionName="parts")
        assert config["MaximumRetryAttempts"] == number
        assert config["MaximumEventAgeInSeconds"] == 300
        policy = json.loads(functions.get_policy(FunctionName="parts")["Policy"])
        [statement] = policy["Statement"]
        assert statement["Condition"]["ArnLike"]["AWS:SourceArn"] == f"{rule}/{number}"


def test_a_layer_makes_a_new_version(cloud: LocalCloud) -> None:
    def template(description: str) -> dict[str, Any]:
        layer = {"LayerName": "library", "Description": description,
                 "Content": {"S3Bucket": "layers", "S3Key": "one.zip"}}  # fmt: skip
        made = {"rLayer": {"Type": "AWS::Lambda::LayerVersion", "Properties": layer}}
        return inline("layered", made, Layers=[{"Ref": "rLayer"}])

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/l.py", "")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="layers")
    s3.put_object(Bucket="layers", Key="one.zip", Body=buffer.getvalue())
    deploy(cloud, "layered", template("one"))
    assert configuration(cloud, "layered")["Layers"][0]["Arn"].endswith(":layer:library:1")
    made = change_set(cloud, "layered", template("two"))
    assert changed(made) == {"rLayer": "Modify True", "rIt": "Modify"}
    execute(cloud, "layered")
    assert configuration(cloud, "layered")["Layers"][0]["Arn"].endswith(":layer:library:2")


def test_versions_aliases_and_urls(cloud: LocalCloud) -> None:
    alias = {"FunctionName": {"Ref": "rIt"}, "FunctionVersion": {"Fn::GetAtt": "rVersion.Version"},
             "Name": "live"}  # fmt: skip
    version = {"FunctionName": {"Ref": "rIt"}}
    url = {"TargetFunctionArn": {"Fn::GetAtt": "rIt.Arn"}, "AuthType": "AWS_IAM"}
    more = {
        "rVersion": {"Type": "AWS::Lambda::Version", "Properties": version},
        "rAlias": {"Type": "AWS::Lambda::Alias", "Properties": alias},
        "rUrl": {"Type": "AWS::Lambda::Url", "Properties": url},
    }
    template = inline("versions", more)
    template["Outputs"] = {"oUrl": {"Value": {"Fn::GetAtt": "rUrl.FunctionUrl"}}}
    stack = deploy(cloud, "versions", template)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["Outputs"][0]["OutputValue"].startswith("https://")
    found = cloud.client("lambda").get_alias(FunctionName="versions", Name="live")
    assert found["FunctionVersion"] == "1"
    assert delete(cloud, "versions")["StackStatus"] == "DELETE_COMPLETE"


def test_the_engines_own_store_has_the_properties_resolved(cloud: LocalCloud) -> None:
    deploy(
        cloud, "stored", inline("stored", LoggingConfig={"LogGroup": {"Fn::Sub": "/a/${rRole}"}})
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"{cloud.cloud.endpoint}/_local/stacks/stored/resources"
    ) as answer:
        found = json.loads(answer.read())
    assert found["rIt"]["Type"] == "AWS::Lambda::Function"
    assert found["rIt"]["PhysicalResourceId"] == "stored"
    role = found["rRole"]["PhysicalResourceId"]
    assert found["rIt"]["Properties"]["LoggingConfig"] == {"LogGroup": f"/a/{role}"}
    assert found["rIt"]["Attributes"]["Arn"] == f"{ARN}:stored"
