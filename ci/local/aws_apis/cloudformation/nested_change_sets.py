"""Change sets that look into nested stacks.

Source: AWS CloudFormation User Guide, "Change sets for nested stacks".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ci.local.aws_apis.cloudformation.changes import Found
from ci.local.aws_apis.cloudformation.refusals import NO_CHANGES, Refused
from ci.local.aws_apis.cloudformation.resources.nested import given_parameters
from ci.local.aws_apis.cloudformation.shown import tags
from ci.local.aws_apis.cloudformation.stacks import ChangeSet, Request, Store
from ci.local.aws_apis.cloudformation.values import unknowns

Create = Callable[[Store, Mapping[str, Any]], dict[str, Any]]


def make(store: Store, made: ChangeSet, request: Request, known: Found, create: Create) -> None:
    """Makes a change set for each nested stack that changes, and names it in that change.

    ``create`` is CreateChangeSet. What hangs on a resource to come is not looked into. Raises
    Refused where one cannot be made.
    """
    for change in known.changes:
        about = change["ResourceChange"]
        properties = known.nested.get(about.get("PhysicalResourceId", ""))
        if properties is None or about["Replacement"] != "False" or unknowns(dict(properties)):
            continue
        answer = create(store, {
            "StackName": about["PhysicalResourceId"],
            "ChangeSetName": f"{made.name}-{about['LogicalResourceId']}",
            "ChangeSetType": "UPDATE",
            "TemplateURL": properties["TemplateURL"],
            "Parameters": given_parameters(properties),
            "Capabilities": request.capabilities,
            "Tags": tags(request.tags),
            "IncludeNestedStacks": True,
            "ParentChangeSetId": made.id,
        })  # fmt: skip
        stack = store.get(answer["StackId"])
        inner = next(each for each in stack.change_sets.values() if each.id == answer["Id"])
        while inner.status in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            time.sleep(0.02)
        if inner.status == "CREATE_COMPLETE":
            about["ChangeSetId"] = inner.id
            continue
        stack.change_sets.pop(inner.name, None)
        if inner.reason != NO_CHANGES:
            raise Refused(
                f"Nested change set {inner.id} was not successfully created: {inner.reason}"
            )


def drop(store: Store, parent: ChangeSet) -> None:
    """Deletes the change sets that one has made for nested stacks, and theirs."""
    for stack in store:
        for each in list(stack.change_sets.values()):
            if each.parent == parent.id:
                stack.change_sets.pop(each.name, None)
                drop(store, each)
