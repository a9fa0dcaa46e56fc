"""What CloudFormation refuses, by code and words, before or instead of making anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import local_cloud
from kit.local_cloud import LocalCloud, change_set, deploy, execute

QUEUE = {"Type": "AWS::SQS::Queue"}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
SIMPLE = {"Resources": {"rA": QUEUE}}
NAMED = {**ROLE, "Properties": {**ROLE["Properties"], "RoleName": "named"}}


def error(cloud: LocalCloud, **arguments: Any) -> tuple[str, str]:
    """Code and words in which CreateChangeSet refuses."""
    cloudformation = cloud.client("cloudformation")
    given = {"StackName": "refused", "ChangeSetName": "c", "ChangeSetType": "CREATE", **arguments}
    with pytest.raises(cloudformation.exceptions.ClientError) as raised:
        cloudformation.create_change_set(**given)
    told = raised.value.response["Error"]
    return told["Code"], told["Message"]


@pytest.mark.parametrize(
    ("template", "arguments", "code", "what"),
    [
        ({"Resources": {"rA": {"Type": "AWS::Odd::Thing"}}}, {}, "ValidationError",
         "Template format error: Unrecognized resource types: [AWS::Odd::Thing]"),
        (SIMPLE, {"Parameters": [{"ParameterKey": "pX", "ParameterValue": "1"}]}, "ValidationError",
         "Parameters: [pX] do not exist in the template"),
        ({**SIMPLE, "Parameters": {"pX": {"Type": "String"}}}, {}, "ValidationError",
         "Parameters: [pX] must have values"),
        ({"Resources": {"rA": ROLE}}, {}, "InsufficientCapabilitiesException",
         "Requires capabilities : [CAPABILITY_IAM]"),
        ({"Resources": {"rA": NAMED}}, {"Capabilities": ["CAPABILITY_IAM"]},
         "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]"),
        ({"Resources": {"rA": {**QUEUE, "DependsOn": "rB"}, "rB": {**QUEUE, "DependsOn": "rA"}}},
         {}, "ValidationError", "Circular dependency between resources: [rA, rB]"),
        (SIMPLE, {"StackName": "no_name"}, "ValidationError", "at 'stackName' failed to satisfy"),
        (SIMPLE, {"ChangeSetName": "no.name"}, "ValidationError", "at 'changeSetName' failed to"),
        (SIMPLE, {"RoleARN": "arn:aws:iam::123456789012:role/nobody"}, "ValidationError",
         "Role arn:aws:iam::123456789012:role/nobody is invalid or cannot be assumed"),
        (SIMPLE, {"ChangeSetType": "UPDATE"}, "ValidationError", "Stack [refused] does not exist"),
        (SIMPLE, {"ChangeSetType": "IMPORT"}, "ValidationError", "IMPORT is not supported"),
        (SIMPLE, {"ImportExistingResources": True}, "ValidationError",
         "The local cloud's CloudFormation does not know ImportExistingResources."),
        (SIMPLE, {"UsePreviousTemplate": True}, "ValidationError", "cannot specify both"),
        (SIMPLE, {"TemplateURL": "https://s3.amazonaws.com/b/k"}, "ValidationError",
         "Either Template URL or Template Body must be specified."),
    ],
)  # fmt: skip
def test_requests_that_are_refused(
    cloud: LocalCloud, template: Any, arguments: dict[str, Any], code: str, what: str
) -> None:
    found = error(cloud, TemplateBody=json.dumps(template), **arguments)
    assert found[0] == code
    assert what in found[1]
    cloudformation = cloud.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError, match="refused does not exist"):
        cloudformation.describe_stacks(StackName="refused")


def test_the_capability_for_names_covers_both(cloud: LocalCloud) -> None:
    for template in ({"Resources": {"rA": NAMED}}, {"Resources": {"rA": ROLE}}):
        made = change_set(cloud, "capable", template, Capabilities=["CAPABILITY_NAMED_IAM"],
                          ChangeSetType="CREATE")  # fmt: skip
        assert made["Status"] == "CREATE_COMPLETE"
        client = cloud.client("cloudformation")
        client.delete_change_set(StackName="capable", ChangeSetName="c")


@pytest.mark.parametrize(
    ("body", "refused"), [(51_200, False), (51_201, True), (1_048_576, False), (1_048_577, True)]
)
def test_sizes_of_templates(cloud: LocalCloud, body: int, refused: bool) -> None:
    text = json.dumps(SIMPLE)
    text += " " * (body - len(text))
    arguments: dict[str, Any] = {"TemplateBody": text}
    if body > 51_201:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="sizes")
        s3.put_object(Bucket="sizes", Key="t", Body=text)
        arguments = {"TemplateURL": f"{cloud.cloud.endpoint}/sizes/t"}
    if refused:
        limit = "1048576" if body > 51_201 else "51200"
        code, what = error(cloud, **arguments)
        assert code == "ValidationError"
        assert limit in what
    else:
        made = change_set(cloud, f"sized-{body}", None, ChangeSetType="CREATE", **arguments)
        assert made["Status"] == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("{endpoint}/absent/t", "S3 error: The specified bucket does not exist"),
        ("{endpoint}/templates/absent", "S3 error: The specified key does not exist."),
        ("https://example.com/t", "TemplateURL must be a supported URL."),
    ],
)
def test_templates_that_are_not_there(cloud: LocalCloud, url: str, what: str) -> None:
    cloud.client("s3").create_bucket(Bucket="templates")
    code, told = error(cloud, TemplateURL=url.format(endpoint=cloud.cloud.endpoint))
    assert code == "ValidationError"
    assert what in told


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:{port}/urls/t.json",
        "http://aws.localhost:{port}/urls/t.json",
        "http://127.0.0.1:{port}/urls/t.json",
        "https://s3.us-east-1.amazonaws.com/urls/t.json",
        "https://urls.s3.amazonaws.com/t.json",
    ],
)
def test_templates_by_url(cloud: LocalCloud, url: str) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="urls")
    s3.put_object(Bucket="urls", Key="t.json", Body=json.dumps(SIMPLE))
    made = change_set(cloud, "by-url", None, ChangeSetType="CREATE",
                      TemplateURL=url.format(port=cloud.cloud.port))  # fmt: skip
    assert made["Status"] == "CREATE_COMPLETE"
    cloud.client("cloudformation").delete_change_set(StackName="by-url", ChangeSetName="c")


def test_rules_of_the_template(cloud: LocalCloud) -> None:
    template = {
        **SIMPLE,
        "Parameters": {"pA": {"Type": "String"}, "pB": {"Type": "String", "Default": ""}},
        "Rules": {
            "Complete": {
                "RuleCondition": {"Fn::Equals": [{"Ref": "pA"}, "strict"]},
                "Assertions": [{"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "pB"}, ""]}]},
                                "AssertDescription": "strict needs pB"}],
            }
        },
    }  # fmt: skip
    given = {"ParameterKey": "pA", "ParameterValue": "strict"}
    code, what = error(cloud, TemplateBody=json.dumps(template), Parameters=[given])
    assert code == "ValidationError"
    assert "strict needs pB" in what
    made = change_set(cloud, "ruled", template, {"pA": "lax"}, ChangeSetType="CREATE")
    assert made["Status"] == "CREATE_COMPLETE"


def test_the_same_names_again(cloud: LocalCloud) -> None:
    deploy(cloud, "again", SIMPLE)
    arguments = {"TemplateBody": json.dumps(SIMPLE), "StackName": "again"}
    assert error(cloud, **arguments) == (
        "AlreadyExistsException",
        "Stack [again] already exists and cannot be created again with the changeSet [c].",
    )
    change_set(cloud, "again", {"Resources": {"rA": QUEUE, "rB": QUEUE}}, name="taken")
    code, what = error(cloud, **arguments, ChangeSetType="UPDATE", ChangeSetName="taken")
    assert (code, what) == ("AlreadyExistsException", "ChangeSet [taken] already exists")
    client = cloud.client("cloudformation")
    with pytest.raises(client.exceptions.AlreadyExistsException, match="already exists"):
        client.create_stack(StackName="again", TemplateBody=json.dumps(SIMPLE))


def trusted(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document}}


def test_a_role_has_to_trust_cloudformation_and_to_be_there_to_the_end(cloud: LocalCloud) -> None:
    outputs = {f"o{name}": {"Value": {"Fn::GetAtt": f"r{name}.Arn"}} for name in "AB"}
    roles = {"rA": trusted("cloudformation.amazonaws.com"), "rB": trusted("lambda.amazonaws.com")}
    stack = deploy(cloud, "roles", {"Resources": roles, "Outputs": outputs})
    good, other = (each["OutputValue"] for each in stack["Outputs"])
    code, what = error(cloud, TemplateBody=json.dumps(SIMPLE), RoleARN=other)
    assert (code, what) == ("ValidationError", f"Role {other} is invalid or cannot be assumed")
    assert deploy(cloud, "by-role", SIMPLE, RoleARN=good)["RoleARN"] == good
    local_cloud.delete(cloud, "roles")
    # Whoever deletes the roles first cannot delete what was made with them.
    client = cloud.client("cloudformation")
    for call in (lambda: client.delete_stack(StackName="by-role"),
                 lambda: change_set(cloud, "by-role", {"Resources": {"rB": QUEUE}})):  # fmt: skip
        with pytest.raises(client.exceptions.ClientError, match="invalid or cannot be assumed"):
            call()


def test_a_stack_in_progress_is_left_alone(cloud: LocalCloud) -> None:
    slow = {f"r{number}": {**QUEUE, "DependsOn": [f"r{number - 1}"] if number else []}
            for number in range(60)}  # fmt: skip
    client = cloud.client("cloudformation")
    made = change_set(cloud, "busy", {"Resources": slow}, ChangeSetType="CREATE")
    client.execute_change_set(StackName="busy", ChangeSetName="c")
    stack = f"Stack:{made['StackId']}"
    with pytest.raises(client.exceptions.ClientError) as raised:
        client.create_change_set(StackName="busy", ChangeSetName="d", TemplateBody="{}")
    wanted = f"{stack} is in CREATE_IN_PROGRESS state and can not be updated."
    assert raised.value.response["Error"]["Message"] == wanted
    with pytest.raises(client.exceptions.ClientError, match="CREATE_IN_PROGRESS"):
        client.update_stack(StackName="busy", TemplateBody=json.dumps(SIMPLE))
    with pytest.raises(client.exceptions.ClientError, match="while in status CREATE_IN_PROGRESS"):
        client.delete_stack(StackName="busy")
    assert local_cloud.after(cloud, "busy")["StackStatus"] == "CREATE_COMPLETE"


def test_two_executions_at_once(cloud: LocalCloud) -> None:
    client = cloud.client("cloudformation")
    slow = {f"r{number}": {**QUEUE, "DependsOn": [f"r{number - 1}"] if number else []}
            for number in range(40)}  # fmt: skip
    deploy(cloud, "twice", SIMPLE)
    change_set(cloud, "twice", {"Resources": slow}, name="one")
    change_set(cloud, "twice", {"Resources": {"rB": QUEUE}}, name="two")
    client.execute_change_set(StackName="twice", ChangeSetName="one")
    with pytest.raises(client.exceptions.InvalidChangeSetStatusException):
        client.execute_change_set(StackName="twice", ChangeSetName="two")
    with pytest.raises(client.exceptions.InvalidChangeSetStatusException):
        client.execute_change_set(StackName="twice", ChangeSetName="one")
    assert local_cloud.after(cloud, "twice")["StackStatus"] == "UPDATE_COMPLETE"


def test_what_is_not_there(cloud: LocalCloud) -> None:
    client = cloud.client("cloudformation")
    unknown = "Stack with id nobody does not exist"
    for call in (client.describe_stacks, client.describe_stack_events, client.get_template,
                 client.list_stack_resources, client.list_change_sets,
                 client.describe_stack_resources):  # fmt: skip
        with pytest.raises(client.exceptions.ClientError) as raised:
            call(StackName="nobody")
        assert raised.value.response["Error"] == {
            "Code": "ValidationError", "Message": unknown, "Type": "Sender"
        }  # fmt: skip
    client.delete_stack(StackName="nobody")
    with pytest.raises(client.exceptions.ChangeSetNotFoundException):
        arn = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/c/1"
        client.execute_change_set(ChangeSetName=arn)
    with pytest.raises(client.exceptions.ClientError, match="does not know ListTypes"):
        client.list_types()


def test_previous_values_and_templates(cloud: LocalCloud) -> None:
    template = {
        "Parameters": {"pA": {"Type": "String"}, "pB": {"Type": "String", "Default": "b"}},
        "Resources": {"rA": {"Type": "AWS::SSM::Parameter", "Properties": {
            "Type": "String", "Value": {"Fn::Sub": "${pA}/${pB}"}}}},
    }  # fmt: skip
    deploy(cloud, "previous", template, {"pA": "1", "pB": "x"})
    keep = {"ParameterKey": "pA", "UsePreviousValue": True}
    client = cloud.client("cloudformation")
    made = client.create_change_set(
        StackName="previous", ChangeSetName="c", UsePreviousTemplate=True, Parameters=[keep]
    )
    described = local_cloud.settled(
        lambda: client.describe_change_set(ChangeSetName=made["Id"]), "Status"
    )
    # What is not named gets its default again.
    assert {each["ParameterKey"]: each["ParameterValue"] for each in described["Parameters"]} == {
        "pA": "1", "pB": "b"
    }  # fmt: skip
    execute(cloud, "previous")
    with pytest.raises(client.exceptions.ClientError, match=r"Parameters: \[pA\] must have values"):
        change_set(cloud, "previous", template, {"pB": "2"})
