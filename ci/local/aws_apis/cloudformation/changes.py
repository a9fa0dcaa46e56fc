"""Change sets: what an update would do, resource by resource.

Resolved properties are compared: a template that says the same in other words changes nothing.
Source: AWS CloudFormation API Reference, "ResourceChange" and "ResourceChangeDetail".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.lookups import Lookups, Standing, no_attribute, scope
from ci.local.aws_apis.cloudformation.order import wishes
from ci.local.aws_apis.cloudformation.outputs import evaluated
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.template import get_atts
from ci.local.aws_apis.cloudformation.values import unknowns
from ci.local.aws_apis.cloudformation.wanted import Difference, Wanted, difference, wanted
from ci.package.places import at


@dataclass(frozen=True)
class Found:
    """The changes that a request makes, and whether it changes anything at all: outputs and tags
    do, too. ``nested`` are the resolved properties of the nested stacks that change, by id."""

    changes: list[dict[str, Any]]
    any: bool
    nested: Mapping[str, Mapping[str, Any]]


def changes(store: Store, stack: Stack, request: Request) -> Found:
    """What a request changes. Raises Refused for what cannot be carried out."""
    lookups = Lookups(store)
    standing = Standing(stack.resources)
    meaning = scope(store, stack, request, standing, lookups)
    order = wishes(request.template.plain, meaning.conditions)
    _judge_attributes(request.template.plain)
    found = []
    nested = {}
    for wish in order:
        before = stack.resources.get(wish.logical_id)
        if before is not None and before.type != wish.type:
            raise Refused(
                "Update of resource type is not permitted. The new template modifies resource "
                f"type of the following resources: [{wish.logical_id}]"
            )
        after = wanted(wish, meaning, request.tags)
        if before is None:
            standing.unsure.add(wish.logical_id)
            found.append(_change("Add", wish.logical_id, wish.type))
            continue
        differs = difference(before, after)
        if differs.replacing or differs.perhaps:
            standing.unsure.add(wish.logical_id)
        elif differs.touches and "Outputs.*" in after.kind.attributes:
            standing.outputs_unsure.add(wish.logical_id)
        if differs:
            found.append(_modify(before, after, differs, stack))
            if before.type == "AWS::CloudFormation::Stack" and not unknowns(after.properties):
                nested[before.physical_id] = after.properties
    asked = {wish.logical_id for wish in order}
    for name, resource in stack.resources.items():
        if name not in asked:
            policy = "Retain" if resource.deletion.startswith("Retain") else "Delete"
            found.append(
                _change("Remove", name, resource.type, resource.physical_id, PolicyAction=policy)
            )
    outputs = evaluated(meaning)
    same = (
        not found
        and outputs == {each.key: each for each in stack.outputs}
        and dict(request.tags) == dict(stack.request.tags)
    )
    return Found(found, not same, nested)


def _judge_attributes(document: Mapping[str, Any]) -> None:
    """Refuses attributes that a type does not have."""
    resources = document["Resources"]
    for section in ("Resources", "Outputs"):
        for name, attribute in get_atts(document.get(section) or {}):
            if name in resources and not KINDS[resources[name]["Type"]].has_attribute(attribute):
                raise no_attribute(name, attribute)


def _change(action: str, name: str, kind: str, physical: str = "", **more: Any) -> dict[str, Any]:
    about: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": kind,
        "Scope": [],
        "Details": [],
    }
    if physical:
        about["PhysicalResourceId"] = physical
    return {"Type": "Resource", "ResourceChange": about | more}


def _modify(before: Resource, after: Wanted, differs: Difference, stack: Stack) -> dict[str, Any]:
    replacement = "True" if differs.replacing else "Conditional" if differs.perhaps else "False"
    scopes = (["Properties"] if differs.changed else []) + list(differs.attributes)
    more: dict[str, Any] = {
        "Replacement": replacement,
        "Scope": scopes,
        "Details": _details(before, after, differs, stack),
    }
    if replacement != "False":
        kept = before.replacement.startswith("Retain")
        more["PolicyAction"] = "ReplaceAndRetain" if kept else "ReplaceAndDelete"
    return _change("Modify", before.logical_id, before.type, before.physical_id, **more)


def _details(
    before: Resource, after: Wanted, differs: Difference, stack: Stack
) -> list[dict[str, Any]]:
    found = []
    place = ("Resources", before.logical_id, "Properties")
    for name, sources in differs.changed.items():
        recreates = name in differs.replacing or name in differs.perhaps
        target: dict[str, Any] = {
            "Attribute": "Properties",
            "Name": name,
            "RequiresRecreation": "Always" if recreates else "Never",
        }
        if name in before.properties:
            target["BeforeValue"] = _shown(before.properties[name])
        if name in after.properties and not sources:
            target["AfterValue"] = _shown(after.properties[name])
        detail: dict[str, Any] = {
            "Target": target,
            "Evaluation": "Dynamic" if sources else "Static",
            "ChangeSource": "DirectModification",
        }
        written = at(after.wish.definition, ("Properties", name))
        if sources:
            detail |= {"ChangeSource": "ResourceReference", "CausingEntity": sorted(sources)[0]}
        elif written == at(stack.request.template.plain, (*place, name)):
            detail["ChangeSource"] = "ParameterReference"
        found.append(detail)
    for name in differs.attributes:
        found.append(
            {
                "Target": {"Attribute": name, "RequiresRecreation": "Never"},
                "Evaluation": "Static",
                "ChangeSource": "DirectModification",
            }
        )
    return found


def _shown(value: Any) -> str:
    if unknowns(value):
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else as_text(value)
