"""AWS::DynamoDB::Table.

Source: AWS CloudFormation Template Reference, "AWS::DynamoDB::Table".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = "ResourceNotFoundException"
_PLAIN = (
    "AttributeDefinitions", "BillingMode", "DeletionProtectionEnabled", "GlobalSecondaryIndexes",
    "KeySchema", "LocalSecondaryIndexes", "OnDemandThroughput", "ProvisionedThroughput",
    "TableClass",
)  # fmt: skip


def _create(work: Work) -> Product:
    name = work.properties.get("TableName") or work.name()
    arguments = work.given(*_PLAIN) | _encryption(work) | _stream(work)
    if work.tags:
        arguments["Tags"] = listed(work.tags)
    table = work.call("dynamodb", "create_table", TableName=name, **arguments)["TableDescription"]
    attributes = {"Arn": table["TableArn"]}
    if stream := table.get("LatestStreamArn"):
        attributes["StreamArn"] = stream
    made = work.begin(Product(name, attributes))
    _settle(work, name)
    return made


def _update(work: Work) -> Product:
    name = work.physical_id
    arguments: dict[str, Any] = {}
    for key in ("BillingMode", "DeletionProtectionEnabled", "OnDemandThroughput",
                "ProvisionedThroughput", "TableClass"):  # fmt: skip
        if work.changed(key) and key in work.properties:
            arguments[key] = work.properties[key]
    if work.changed("StreamSpecification"):
        arguments |= _stream(work) or {"StreamSpecification": {"StreamEnabled": False}}
    if work.changed("SSESpecification"):
        arguments |= _encryption(work) or {"SSESpecification": {"Enabled": False}}
    attributes = dict(work.attributes)
    if arguments:
        table = work.call("dynamodb", "update_table", TableName=name, **arguments)
        if stream := table["TableDescription"].get("LatestStreamArn"):
            attributes["StreamArn"] = stream
    _update_indexes(work, name)
    _settle(work, name)
    if differ(work):
        arn = str(work.attributes["Arn"])
        if gone := removed(work):
            work.call("dynamodb", "untag_resource", ResourceArn=arn, TagKeys=gone)
        if work.tags:
            work.call("dynamodb", "tag_resource", ResourceArn=arn, Tags=listed(work.tags))
    return Product(name, attributes)


def _update_indexes(work: Work, name: str) -> None:
    """Global indexes come and go one a call."""
    before = {each["IndexName"]: each for each in work.before.get("GlobalSecondaryIndexes", [])}
    after = {each["IndexName"]: each for each in work.properties.get("GlobalSecondaryIndexes", [])}
    changes = [
        {"Delete": {"IndexName": index}} for index in before if before[index] != after.get(index)
    ]
    changes += [{"Create": after[index]} for index in after if before.get(index) != after[index]]
    for change in changes:
        work.call("dynamodb", "update_table", TableName=name,
                  AttributeDefinitions=work.properties["AttributeDefinitions"],
                  GlobalSecondaryIndexUpdates=[change])  # fmt: skip


def _settle(work: Work, name: str) -> None:
    """What DynamoDB takes in calls of their own, after the table."""
    if work.changed("PointInTimeRecoverySpecification"):
        wanted = work.properties.get("PointInTimeRecoverySpecification")
        work.call("dynamodb", "update_continuous_backups", TableName=name,
                  PointInTimeRecoverySpecification=wanted
                  or {"PointInTimeRecoveryEnabled": False})  # fmt: skip
    if work.changed("TimeToLiveSpecification"):
        wanted = work.properties.get("TimeToLiveSpecification") or {
            **work.before["TimeToLiveSpecification"],
            "Enabled": False,
        }
        work.call("dynamodb", "update_time_to_live", TableName=name,
                  TimeToLiveSpecification=wanted)  # fmt: skip


def _encryption(work: Work) -> dict[str, Any]:
    given = dict(work.properties.get("SSESpecification", {}))
    if not given:
        return {}
    return {"SSESpecification": {"Enabled": given.pop("SSEEnabled"), **given}}


def _stream(work: Work) -> dict[str, Any]:
    given = work.properties.get("StreamSpecification")
    if not given:
        return {}
    view = given["StreamViewType"]
    return {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}


def _delete(work: Work) -> None:
    with work.absent("dynamodb", _GONE):
        work.call("dynamodb", "delete_table", TableName=work.physical_id)


_REPORTS = "writes metrics, which nobody makes here"

KINDS = (
    Kind(
        type="AWS::DynamoDB::Table",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset(
            {
                *_PLAIN, "PointInTimeRecoverySpecification", "SSESpecification",
                "StreamSpecification", "TableName", "TimeToLiveSpecification",
            }
        ),
        ignored={
            "ContributorInsightsSpecification": _REPORTS,
            "WarmThroughput": "concerns capacity, which is this machine's",
        },
        unmade=frozenset(
            {
                "ImportSourceSpecification", "KinesisStreamSpecification", "ResourcePolicy",
                "VectorIndexes",
            }
        ),
        required=("KeySchema",),
        replaced=frozenset({"KeySchema", "LocalSecondaryIndexes", "TableName"}),
        attributes=("Arn", "StreamArn"),
        naming="TableName",
        tags="list",
    ),
)  # fmt: skip
