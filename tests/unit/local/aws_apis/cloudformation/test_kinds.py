"""The resource types beside AWS's own schemas of them, as cfn-lint brings them."""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind

REGION = "us-east-1"
# Read from descriptions that AWS's schemas do not carry: the documentation of "Update requires".
REPLACED_BY_THE_DOCS = {
    "AWS::DynamoDB::Table": {"KeySchema", "LocalSecondaryIndexes"},
    "AWS::Events::Rule": {"EventBusName"},
    "AWS::Glue::Database": {"CatalogId", "DatabaseInput.Name"},
    "AWS::IAM::Policy": {"PolicyName"},
    "AWS::KMS::Key": {"KeySpec", "KeyUsage", "MultiRegion", "Origin"},
    "AWS::Logs::LogGroup": {"LogGroupClass"},
}
ATTRIBUTES_BY_THE_DOCS = {
    "AWS::CloudFormation::Stack": {"Outputs.*"},
    "AWS::SNS::Topic": {"TopicName"},
    "AWS::SQS::Queue": {"QueueName"},
    "AWS::SSM::Parameter": {"Type", "Value"},
}
TAGGED_BY_THE_DOCS = {"AWS::CodeBuild::Project"}


def schema(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind.type).schema
    return found


def paths(found: dict[str, Any], key: str) -> set[str]:
    return {".".join(each.split("/")[2:]) for each in found.get(key, [])}


@pytest.fixture(params=KINDS, ids=lambda name: name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def test_every_property_that_aws_has_is_decided_on(kind: Kind) -> None:
    found = schema(kind)
    writable = set(found["properties"]) - paths(found, "readOnlyProperties")
    decided = [kind.honoured, frozenset(kind.ignored), kind.unmade]
    tags = {"Tags"} if kind.tags else set()
    assert frozenset().union(*decided, tags) == writable
    assert sum(map(len, decided)) + len(tags) == len(writable), "decided on twice"
    assert set(kind.required) >= set(found.get("required", []))


def test_what_makes_a_new_resource_does_so_on_aws(kind: Kind) -> None:
    wanted = paths(schema(kind), "createOnlyProperties")
    wanted |= REPLACED_BY_THE_DOCS.get(kind.type, set())
    wanted = {each for each in wanted if each.partition(".")[0] in kind.honoured}
    if kind.update is None:
        assert wanted == kind.honoured
    else:
        whole = {each.partition(".")[0] for each in wanted} & kind.replaced
        assert (
            kind.replaced
            == {each for each in wanted if each.partition(".")[0] not in whole} | whole
        )


def test_attributes_are_those_of_aws(kind: Kind) -> None:
    found = paths(schema(kind), "readOnlyProperties")
    found |= ATTRIBUTES_BY_THE_DOCS.get(kind.type, set())
    assert set(kind.attributes) <= found
    assert len(set(kind.attributes)) == len(kind.attributes)


def test_tags_where_aws_has_them(kind: Kind) -> None:
    taggable = schema(kind).get("tagging", {}).get("taggable", False)
    assert bool(kind.tags) == (taggable or kind.type in TAGGED_BY_THE_DOCS)


def test_a_name_is_a_property_that_makes_a_new_resource_or_none(kind: Kind) -> None:
    assert not kind.naming or kind.naming in kind.honoured


def test_an_ignored_property_has_a_reason(kind: Kind) -> None:
    assert all(kind.ignored.values())


def test_properties_are_refused_that_nobody_makes() -> None:
    queue = KINDS["AWS::SQS::Queue"]
    queue.judge({"QueueName": "q"})
    with pytest.raises(Failed, match=r"^Encountered unsupported property Queuename$"):
        queue.judge({"Queuename": "q"})
    with pytest.raises(Failed, match=r"^Property KeySchema cannot be empty\.$"):
        KINDS["AWS::DynamoDB::Table"].judge({"TableName": "t"})
    with pytest.raises(Failed, match="ReplicationConfiguration of AWS::S3::Bucket is not made"):
        KINDS["AWS::S3::Bucket"].judge({"ReplicationConfiguration": {}})
