"""Stacks as CloudFormation has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ci import cfn_yaml
from ci.deploy.desk import Desk

STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Found:
    """A stack. ``id`` names it after its deletion, too; ``protected`` is against deletion."""

    name: str
    id: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    protected: bool = False


@dataclass(frozen=True)
class Resource:
    """A resource that a stack has made."""

    logical_id: str
    kind: str
    physical_id: str
    status: str


async def stack(desk: Desk, name_or_id: str) -> Found | None:
    """The stack of a name or id; None where there is none."""

    def asked(client: Any) -> dict[str, Any] | None:
        try:
            [found] = client.describe_stacks(StackName=name_or_id)["Stacks"]
        except client.exceptions.ClientError as error:
            if is_missing(error):
                return None
            raise
        return dict(found)

    about = await desk.stacks("DescribeStacks", asked)
    if about is None:
        return None
    return Found(
        about["StackName"],
        about["StackId"],
        about["StackStatus"],
        {each["ParameterKey"]: each["ParameterValue"] for each in about.get("Parameters") or ()},
        {each["OutputKey"]: each["OutputValue"] for each in about.get("Outputs") or ()},
        bool(about.get("EnableTerminationProtection")),
    )


async def resources(desk: Desk, name_or_id: str) -> list[Resource]:
    """What a stack consists of, in CloudFormation's order; nothing where there is no stack."""

    def asked(client: Any) -> list[dict[str, Any]]:
        pages = client.get_paginator("list_stack_resources").paginate(StackName=name_or_id)
        try:
            return [each for page in pages for each in page["StackResourceSummaries"]]
        except client.exceptions.ClientError as error:
            if is_missing(error):
                return []
            raise

    return [
        Resource(
            each["LogicalResourceId"], each["ResourceType"],
            each.get("PhysicalResourceId") or "", each["ResourceStatus"],
        )
        for each in await desk.stacks("ListStackResources", asked)
    ]  # fmt: skip


async def template(desk: Desk, name_or_id: str, *, processed: bool = False) -> dict[str, Any]:
    """A stack's template, as it was given or as transforms left it."""
    stage = "Processed" if processed else "Original"

    def asked(client: Any) -> Any:
        return client.get_template(StackName=name_or_id, TemplateStage=stage)["TemplateBody"]

    body = await desk.stacks("GetTemplate", asked)
    # boto3 reads JSON itself, and leaves YAML to us.
    return cfn_yaml.load(body) if isinstance(body, str) else plain(body)


def is_missing(error: Any) -> bool:
    """Whether CloudFormation says that there is no such stack."""
    said = error.response["Error"]
    return said.get("Code") == "ValidationError" and "does not exist" in said.get("Message", "")


def plain(node: Any) -> Any:
    """boto3's ordered dictionaries as plain ones."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, Iterable) and not isinstance(node, str):
        return [plain(each) for each in node]
    return node
