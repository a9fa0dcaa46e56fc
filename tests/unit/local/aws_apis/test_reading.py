"""What CloudFormation tells of stacks and templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.local_cloud import LocalCloud, deploy

QUEUE = {"Type": "AWS::SQS::Queue"}
YAML = """\
# a comment, and line ends as in DOS\r
Description: 'quoted <&> text'

Parameters:
  pName: {Type: String, Description: what it is called, Default: 'näme'}
  pSecret: {Type: String, NoEcho: true, Default: hidden}
  pSize: {Type: Number, AllowedValues: [1, 2], Default: 1}
Resources:
  rRole:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {}}
  rQueue:
    Type: AWS::SQS::Queue
    Metadata: {why: !Sub 'for ${pName}'}
"""


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> dict[str, Any]:
    return deploy(cloud, "read", YAML, NotificationARNs=["arn:aws:sns:us-east-1:1:t"])


def test_the_template_is_given_back_to_the_letter(cloud: LocalCloud, stack: dict[str, Any]) -> None:
    client = cloud.client("cloudformation")
    assert client.get_template(StackName="read")["TemplateBody"] == YAML
    by_id = client.get_template(StackName=stack["StackId"], TemplateStage="Processed")
    assert by_id["TemplateBody"] == YAML


def test_a_stacks_description(stack: dict[str, Any]) -> None:
    assert stack["Description"] == "quoted <&> text"
    assert {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]} == {
        "pName": "näme",
        "pSecret": "****",
        "pSize": "1",
    }
    assert stack["NotificationARNs"] == ["arn:aws:sns:us-east-1:1:t"]
    assert stack["Capabilities"] == ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert stack["StackId"].startswith("arn:aws:cloudformation:us-east-1:123456789012:stack/read/")


def test_resources(cloud: LocalCloud, stack: dict[str, Any]) -> None:
    client = cloud.client("cloudformation")
    found = client.list_stack_resources(StackName="read")["StackResourceSummaries"]
    assert [(each["LogicalResourceId"], each["ResourceStatus"]) for each in found] == [
        ("rRole", "CREATE_COMPLETE"),
        ("rQueue", "CREATE_COMPLETE"),
    ]
    url = found[1]["PhysicalResourceId"]
    [one] = client.describe_stack_resources(StackName="read", LogicalResourceId="rQueue")[
        "StackResources"
    ]
    assert one["PhysicalResourceId"] == url
    both = client.describe_stack_resources(PhysicalResourceId=url)["StackResources"]
    assert {each["StackId"] for each in both} == {stack["StackId"]}
    assert len(both) == 2
    detail = client.describe_stack_resource(StackName="read", LogicalResourceId="rQueue")
    assert json.loads(detail["StackResourceDetail"]["Metadata"]) == {"why": "for näme"}
    with pytest.raises(client.exceptions.ClientError, match="rX does not exist for stack read"):
        client.describe_stack_resource(StackName="read", LogicalResourceId="rX")


def test_summaries_of_templates(cloud: LocalCloud, stack: dict[str, Any]) -> None:
    client = cloud.client("cloudformation")
    for asked in ({"StackName": stack["StackName"]}, {"TemplateBody": YAML}):
        found = client.get_template_summary(**asked)
        assert found["ResourceTypes"] == ["AWS::IAM::Role", "AWS::SQS::Queue"]
        assert found["Capabilities"] == ["CAPABILITY_IAM"]
        name, secret, size = found["Parameters"]
        assert (name["DefaultValue"], name["Description"]) == ("näme", "what it is called")
        assert secret["NoEcho"] is True
        assert size["ParameterConstraints"] == {"AllowedValues": ["1", "2"]}
    found = client.validate_template(TemplateBody=YAML)
    assert [each["ParameterKey"] for each in found["Parameters"]] == ["pName", "pSecret", "pSize"]
    with pytest.raises(client.exceptions.ClientError, match="Unrecognized resource types"):
        client.validate_template(TemplateBody='{"Resources": {"r": {"Type": "Odd"}}}')
    sam = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"r": {"Type": "AWS::S::F"}}}
    found = client.validate_template(TemplateBody=json.dumps(sam))
    assert found["Capabilities"] == ["CAPABILITY_AUTO_EXPAND"]
    assert found["DeclaredTransforms"] == ["AWS::Serverless-2016-10-31"]


def test_long_lists_come_in_pages(cloud: LocalCloud) -> None:
    many = {f"r{number}": QUEUE for number in range(60)}
    deploy(cloud, "many", {"Resources": many})
    client = cloud.client("cloudformation")
    first = client.describe_stack_events(StackName="many")
    assert len(first["StackEvents"]) == 100
    pages = client.get_paginator("describe_stack_events").paginate(StackName="many")
    found = [each["EventId"] for page in pages for each in page["StackEvents"]]
    assert len(set(found)) == len(found) == 123


def test_all_stacks(cloud: LocalCloud, stack: dict[str, Any]) -> None:
    client = cloud.client("cloudformation")
    found = [each["StackId"] for each in client.describe_stacks()["Stacks"]]
    assert stack["StackId"] in found
    [summary] = [each for each in client.list_stacks()["StackSummaries"]
                 if each["StackName"] == "read"]  # fmt: skip
    assert summary["TemplateDescription"] == "quoted <&> text"


def test_another_region_is_another_cloud(cloud: LocalCloud, stack: dict[str, Any]) -> None:
    from dataclasses import replace

    other = replace(cloud, cloud=replace(cloud.cloud, region="eu-west-1"))
    assert other.client("cloudformation").describe_stacks()["Stacks"] == []
    found = deploy(other, "read", {"Resources": {"rQueue": QUEUE}})
    assert ":eu-west-1:" in found["StackId"] != stack["StackId"]
    assert len(other.client("sqs").list_queues()["QueueUrls"]) == 1
