"""Actions of the API that only tell.

Source: AWS CloudFormation API Reference, DescribeStacks, DescribeStackEvents, GetTemplate …
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation import requests, shown, transforms
from ci.local.aws_apis.cloudformation.change_set_actions import found as found_change_set
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.stacks import Stack, Store
from ci.local.aws_apis.cloudformation.template import Template, judge

_PAGE = 100


def describe_stacks(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    if name := asked.get("StackName"):
        return {"Stacks": [shown.stack(store.get(str(name)))]}
    return _page([shown.stack(each) for each in store if each.alive], "Stacks", asked)


def list_stacks(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    wanted = asked.get("StackStatusFilter")
    found = [shown.summary(each) for each in store if not wanted or each.status in wanted]
    return _page(found, "StackSummaries", asked)


def describe_stack_events(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Newest first."""
    stack = store.get(str(asked.get("StackName") or ""))
    with stack.lock:
        events = [shown.event(stack, one) for one in reversed(stack.events)]
    return _page(events, "StackEvents", asked)


def _page(items: list[Any], name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list; its token is where the next begins."""
    start = int(asked.get("NextToken") or 0)
    answer: dict[str, Any] = {name: items[start : start + _PAGE]}
    if start + _PAGE < len(items):
        answer["NextToken"] = str(start + _PAGE)
    return answer


def describe_stack_resources(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    physical = asked.get("PhysicalResourceId")
    if asked.get("StackName"):
        stacks = [store.get(str(asked["StackName"]))]
    elif physical:
        stacks = [each for each in store if each.alive and _owns(each, str(physical))][:1]
        if not stacks:
            raise Refused(f"Stack for {physical} does not exist")
    else:
        raise Refused("Both StackName and PhysicalResourceId cannot be null")
    wanted = asked.get("LogicalResourceId")
    return {
        "StackResources": [
            shown.resource(stack, one, "Timestamp")
            for stack in stacks
            for one in list(stack.resources.values())
            if not wanted or one.logical_id == wanted
        ]
    }


def _owns(stack: Stack, physical: str) -> bool:
    return any(each.physical_id == physical for each in stack.resources.values())


def describe_stack_resource(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack, name = store.get(str(asked["StackName"])), str(asked["LogicalResourceId"])
    one = stack.resources.get(name)
    if one is None:
        raise Refused(f"Resource {name} does not exist for stack {stack.name}")
    detail = shown.resource(stack, one, "LastUpdatedTimestamp")
    if one.metadata is not None:
        detail["Metadata"] = json.dumps(one.metadata)
    return {"StackResourceDetail": detail}


def list_stack_resources(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.get(str(asked["StackName"]))
    summaries = [
        shown.resource(stack, one, "LastUpdatedTimestamp") for one in list(stack.resources.values())
    ]
    return _page(summaries, "StackResourceSummaries", asked)


def get_template(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The text exactly as it was given, or, ``Processed``, as JSON without transforms."""
    if asked.get("ChangeSetName"):
        template = found_change_set(store, asked)[1].request.template
    else:
        template = store.get(str(asked.get("StackName") or "")).request.template
    processed = asked.get("TemplateStage") == "Processed"
    body: Any = template.text
    if processed and template.transforms:
        body = json.dumps(template.plain)
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


def get_template_summary(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    if asked.get("StackName"):
        template = store.get(str(asked["StackName"])).request.template
    else:
        template = requests.given_template(store, asked)
    answer = _declared(template)
    resources = [
        str(each.get("Type")) for each in template.resources.values() if isinstance(each, dict)
    ]
    return answer | {
        "ResourceTypes": list(dict.fromkeys(resources)),
        "Version": str(template.document.get("AWSTemplateFormatVersion", "2010-09-09")),
        "DeclaredTransforms": template.transforms,
    }


def validate_template(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    template = requests.given_template(store, asked)
    if not transforms.uses(template):
        judge(template.plain, KINDS)
    answer = _declared(template)
    names = ("ParameterKey", "DefaultValue", "NoEcho", "Description")
    answer["Parameters"] = [
        {name: each[name] for name in names if name in each} for each in answer["Parameters"]
    ]
    return answer | {"DeclaredTransforms": template.transforms}


def _declared(template: Template) -> dict[str, Any]:
    parameters = []
    for name, about in template.declared.items():
        one: dict[str, Any] = {
            "ParameterKey": name,
            "ParameterType": str(about.get("Type", "String")),
            "NoEcho": as_text(about.get("NoEcho", False)) == "true",
        }
        if "Default" in about:
            one["DefaultValue"] = as_text(about["Default"])
        if "Description" in about:
            one["Description"] = str(about["Description"])
        if "AllowedValues" in about:
            one["ParameterConstraints"] = {"AllowedValues": [*map(as_text, about["AllowedValues"])]}
        parameters.append(one)
    answer: dict[str, Any] = {"Parameters": parameters}
    capabilities = requests.required_capabilities(template)
    if transforms.uses(template):
        capabilities = [*capabilities, "CAPABILITY_AUTO_EXPAND"]
    if capabilities:
        answer["Capabilities"] = capabilities
        answer["CapabilitiesReason"] = "The template makes resources of IAM or has transforms."
    if "Description" in template.document:
        answer["Description"] = str(template.document["Description"])
    return answer


def list_exports(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = [
        {"ExportingStackId": stack.id, "Name": name, "Value": output.value}
        for name, (stack, output) in sorted(store.exports().items())
    ]
    return _page(found, "Exports", asked)


def list_imports(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    name = str(asked["ExportName"])
    importers = [each.name for each in store.importers(name)]
    if not importers:
        raise Refused(f"Export '{name}' is not imported by any stack.")
    return _page(importers, "Imports", asked)
