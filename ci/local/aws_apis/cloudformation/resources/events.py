"""AWS::Events::Rule, with its targets.

Source: AWS CloudFormation Template Reference, "AWS::Events::Rule".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = "ResourceNotFoundException"
_PLAIN = ("Description", "EventPattern", "RoleArn", "ScheduleExpression", "State")


def _create(work: Work) -> Product:
    name = work.properties.get("Name") or work.name(64)
    with work.absent("events", _GONE):
        work.call("events", "describe_rule", Name=name, **_bus(work))
        raise Failed(f"{name} already exists")
    arn = _put_rule(work, name, Tags=listed(work.tags))
    made = work.begin(Product(name, {"Arn": arn, "RuleName": name}))
    _put_targets(work, name)
    return made


def _update(work: Work) -> Product:
    name = work.physical_id
    _put_rule(work, name)
    kept = {each["Id"] for each in work.properties.get("Targets", [])}
    gone = [each["Id"] for each in work.before.get("Targets", []) if each["Id"] not in kept]
    if gone:
        work.call("events", "remove_targets", Rule=name, Ids=gone, **_bus(work))
    _put_targets(work, name)
    if differ(work):
        arn = str(work.attributes["Arn"])
        if gone := removed(work):
            work.call("events", "untag_resource", ResourceARN=arn, TagKeys=gone)
        if work.tags:
            work.call("events", "tag_resource", ResourceARN=arn, Tags=listed(work.tags))
    return Product(name, work.attributes)


def _bus(work: Work) -> dict[str, Any]:
    return work.given("EventBusName")


def _put_rule(work: Work, name: str, **tags: Any) -> str:
    given = _bus(work) | work.given(*_PLAIN)
    return str(work.call("events", "put_rule", Name=name, **given, **tags)["RuleArn"])


def _put_targets(work: Work, name: str) -> None:
    targets = work.properties.get("Targets", [])
    if not targets:
        return
    answer = work.call("events", "put_targets", Rule=name, Targets=targets, **_bus(work))
    for entry in answer.get("FailedEntries", []):
        raise Failed(f"target {entry.get('TargetId')}: {entry.get('ErrorMessage')}")


def _delete(work: Work) -> None:
    name = work.physical_id
    with work.absent("events", _GONE):
        if ids := [each["Id"] for each in work.properties.get("Targets", [])]:
            work.call("events", "remove_targets", Rule=name, Ids=ids, **_bus(work))
        work.call("events", "delete_rule", Name=name, **_bus(work))


KINDS = (
    Kind(
        type="AWS::Events::Rule",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset({*_PLAIN, "EventBusName", "Name", "Targets"}),
        replaced=frozenset({"EventBusName", "Name"}),
        attributes=("Arn", "RuleName"),
        naming="Name",
        tags="list",
    ),
)
