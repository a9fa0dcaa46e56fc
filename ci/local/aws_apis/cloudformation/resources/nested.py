"""AWS::CloudFormation::Stack: a stack in a stack.

Source: AWS CloudFormation Template Reference, "AWS::CloudFormation::Stack".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ci.local.aws_apis.cloudformation.refusals import NO_UPDATES
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import listed


def _create(work: Work) -> Product:
    name = work.name(128)
    stack_id = work.call("cloudformation", "create_stack", StackName=name, **_arguments(work))[
        "StackId"
    ]
    work.begin(Product(stack_id))
    return _finished(work, stack_id, "CREATE_COMPLETE")


def _update(work: Work) -> Product:
    client = work.clients("cloudformation")
    try:
        work.call("cloudformation", "update_stack", StackName=work.physical_id, **_arguments(work))
    except client.exceptions.ClientError as error:
        if NO_UPDATES not in str(error):
            raise
        return Product(work.physical_id, work.attributes)
    return _finished(work, work.physical_id, "UPDATE_COMPLETE")


def _arguments(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = {
        "TemplateURL": work.properties["TemplateURL"],
        "Parameters": given_parameters(work.properties),
        "Capabilities": list(work.capabilities),
        "Tags": listed(work.tags),
    }
    if work.role:
        found["RoleARN"] = work.role
    return found | work.given(NotificationARNs="NotificationARNs")


def given_parameters(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A nested stack's parameters as the API takes them; a list is text with commas."""
    return [
        {
            "ParameterKey": key,
            "ParameterValue": ",".join(map(str, value)) if isinstance(value, list) else value,
        }
        for key, value in properties.get("Parameters", {}).items()
    ]


def _finished(work: Work, stack_id: str, good: str) -> Product:
    stack = _settled(work, stack_id)
    if stack["StackStatus"] != good:
        raise Failed(_reason(work, stack_id, stack))
    outputs = {
        f"Outputs.{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs", [])
    }
    return Product(stack_id, {"StackId": stack_id, **outputs})


def _settled(work: Work, stack_id: str) -> dict[str, Any]:
    while True:
        stack: dict[str, Any] = work.call("cloudformation", "describe_stacks", StackName=stack_id)[
            "Stacks"
        ][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(0.02)


def _reason(work: Work, stack_id: str, stack: Mapping[str, Any]) -> str:
    """What failed first in there."""
    told = f"Embedded stack {stack_id} was not successfully made"
    pages = work.clients("cloudformation").get_paginator("describe_stack_events")
    events = [e for page in pages.paginate(StackName=stack_id) for e in page["StackEvents"]]
    for event in reversed(events):
        if event["ResourceStatus"].endswith("_FAILED") and event["PhysicalResourceId"] != stack_id:
            why = event.get("ResourceStatusReason", "")
            return f"{told}: {event['LogicalResourceId']}: {why}"
    return f"{told}: {stack.get('StackStatusReason', '')}"


def _delete(work: Work) -> None:
    work.call("cloudformation", "delete_stack", StackName=work.physical_id)
    client = work.clients("cloudformation")
    try:
        stack = _settled(work, work.physical_id)
    except client.exceptions.ClientError:
        return
    if stack["StackStatus"] != "DELETE_COMPLETE":
        raise Failed(f"Embedded stack {work.physical_id} was not successfully deleted: "
                     f"{stack.get('StackStatusReason', '')}")  # fmt: skip


KINDS = (
    Kind(
        type="AWS::CloudFormation::Stack",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset({"NotificationARNs", "Parameters", "TemplateURL"}),
        ignored={"TimeoutInMinutes": "nothing takes that long here"},
        required=("TemplateURL",),
        attributes=("Outputs.*", "StackId"),
        tags="list",
    ),
)
