"""Stacks in the form of the API's answers.

Source: AWS CloudFormation API Reference, data types Stack, StackEvent, StackResource …
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ci.local.aws_apis.cloudformation.inputs import Input
from ci.local.aws_apis.cloudformation.stacks import Event, Resource, Stack

_SECRET = "****"  # noqa: S105 - in place of one


def parameters(inputs: Mapping[str, Input]) -> list[dict[str, str]]:
    found = []
    for name, each in inputs.items():
        one = {"ParameterKey": name, "ParameterValue": _SECRET if each.secret else each.value}
        if each.resolved:
            one["ResolvedValue"] = _SECRET if each.secret else each.resolved
        found.append(one)
    return found


def tags(given: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in given.items()]


def stack(each: Stack) -> dict[str, Any]:
    with each.lock:
        found: dict[str, Any] = {
            "StackId": each.id,
            "StackName": each.name,
            "CreationTime": each.created,
            "StackStatus": each.status,
            "DisableRollback": each.on_failure == "DO_NOTHING",
            "EnableTerminationProtection": each.protected,
            "RollbackConfiguration": {},
            "NotificationARNs": list(each.request.notifications),
            "Parameters": parameters(each.request.inputs),
            "Tags": tags(each.request.tags),
            "Capabilities": list(each.request.capabilities),
            "Outputs": [_output(one) for one in each.outputs],
            "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        }
        if description := each.request.template.document.get("Description"):
            found["Description"] = str(description)
        if each.reason:
            found["StackStatusReason"] = each.reason
        if each.request.role:
            found["RoleARN"] = each.request.role
        if each.updated:
            found["LastUpdatedTime"] = each.updated
        if each.deleted:
            found["DeletionTime"] = each.deleted
    return found


def _output(one: Any) -> dict[str, str]:
    found = {"OutputKey": one.key, "OutputValue": one.value}
    if one.description:
        found["Description"] = one.description
    if one.export:
        found["ExportName"] = one.export
    return found


def summary(each: Stack) -> dict[str, Any]:
    whole = stack(each)
    names = (
        "CreationTime", "DeletionTime", "DriftInformation", "LastUpdatedTime", "StackId",
        "StackName", "StackStatus", "StackStatusReason",
    )  # fmt: skip
    found = {name: whole[name] for name in names if name in whole}
    if "Description" in whole:
        found["TemplateDescription"] = whole["Description"]
    return found


def event(each: Stack, one: Event) -> dict[str, Any]:
    found: dict[str, Any] = {
        "StackId": each.id,
        "EventId": one.id,
        "StackName": each.name,
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.physical_id,
        "ResourceType": one.type,
        "Timestamp": one.when,
        "ResourceStatus": one.status,
    }
    if one.reason:
        found["ResourceStatusReason"] = one.reason
    if one.properties:
        found["ResourceProperties"] = one.properties
    return found


def resource(each: Stack, one: Resource, when: str) -> dict[str, Any]:
    """``when`` is how the answer calls the time: Timestamp, LastUpdatedTimestamp."""
    found: dict[str, Any] = {
        "StackId": each.id,
        "StackName": each.name,
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.physical_id,
        "ResourceType": one.type,
        when: one.changed,
        "ResourceStatus": one.status,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
    if one.reason:
        found["ResourceStatusReason"] = one.reason
    return found
