"""Actions of the API that concern change sets.

Source: AWS CloudFormation API Reference, CreateChangeSet and the other actions of change sets.
"""

from __future__ import annotations

import re
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ci.local.aws_apis.cloudformation import nested_change_sets, requests, transforms
from ci.local.aws_apis.cloudformation.changes import changes
from ci.local.aws_apis.cloudformation.execution import Execution, in_background
from ci.local.aws_apis.cloudformation.refusals import (
    NO_CHANGES,
    Refused,
    no_change_set,
    wrong_state,
)
from ci.local.aws_apis.cloudformation.shown import parameters, tags
from ci.local.aws_apis.cloudformation.stacks import ChangeSet, Stack, Store

_EXECUTING = "EXECUTE_IN_PROGRESS"
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_STUCK = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED",
          "UPDATE_ROLLBACK_FAILED")  # fmt: skip
"""States in which a stack can only be deleted."""


def create_change_set(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    name, stack_name = str(asked["ChangeSetName"]), str(asked["StackName"])
    kind = str(asked.get("ChangeSetType") or "UPDATE")
    if not _NAME.fullmatch(name):
        raise Refused(
            f"1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    if kind not in ("CREATE", "UPDATE"):
        raise Refused(f"ChangeSetType {kind} is not supported by the local cloud")
    stack = _target(store, stack_name, kind, name)
    fresh = stack is None or stack.status == "REVIEW_IN_PROGRESS"
    request = requests.given(store, None if fresh else stack, asked)
    if not transforms.uses(request.template):
        request = requests.transformed(store, stack_name, stack.id if stack else "", request)
    with store.lock:
        stack = _target(store, stack_name, kind, name)
        if stack is None:
            stack = new_stack(store, stack_name, request, "REVIEW_IN_PROGRESS")
            stack.told("REVIEW_IN_PROGRESS", "User Initiated")
        if name in stack.change_sets:
            raise Refused(f"ChangeSet [{name}] already exists", "AlreadyExistsException")
        made = ChangeSet(
            store.arn("changeSet", name), name, kind, request,
            str(asked.get("Description") or ""), datetime.now(UTC),
            on_failure=str(asked.get("OnStackFailure") or "ROLLBACK"),
            looks_inside=asked.get("IncludeNestedStacks") in (True, "true"),
            parent=str(asked.get("ParentChangeSetId") or ""),
        )  # fmt: skip
        stack.change_sets[name] = made
        before = stack.operations
    arguments = (store, stack, made, before)
    threading.Thread(target=_evaluate, args=arguments, daemon=True).start()
    return {"Id": made.id, "StackId": stack.id}


def _target(store: Store, stack_name: str, kind: str, name: str) -> Stack | None:
    """The stack that a change set is for; None where it is to be made. Raises Refused."""
    stack = store.find(stack_name)
    if stack is None or not stack.alive:
        if kind == "UPDATE":
            raise Refused(f"Stack [{stack_name}] does not exist")
        return None
    _judge_state(stack, kind, name)
    return stack


def new_stack(store: Store, name: str, request: Any, status: str) -> Stack:
    """Raises Refused for a bad name."""
    if not _NAME.fullmatch(name) or len(name) > 128:
        raise Refused(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    return store.new(name, request, status)


def _judge_state(stack: Stack, kind: str, name: str) -> None:
    if kind == "CREATE" and stack.status != "REVIEW_IN_PROGRESS":
        raise Refused(
            f"Stack [{stack.name}] already exists and cannot be created again with the changeSet "
            f"[{name}].",
            "AlreadyExistsException",
        )
    if kind == "UPDATE" and (
        stack.status == "REVIEW_IN_PROGRESS" or stack.busy or stack.status in _STUCK
    ):
        raise wrong_state(stack.id, stack.status)


def _evaluate(store: Store, stack: Stack, made: ChangeSet, operations: int) -> None:
    """Finds out what a change set would do to a stack as it was after so many operations."""
    with stack.lock:
        made.status = "CREATE_IN_PROGRESS"
    try:
        request = made.request
        if request.template.processed is None:
            request = requests.transformed(store, stack.name, stack.id, request)
        found = changes(store, stack, request)
        if made.looks_inside:
            nested_change_sets.make(store, made, request, found, create_change_set)
    except Refused as error:
        with stack.lock:
            made.status, made.reason = "FAILED", str(error)
        return
    except Exception as error:
        # Not foreseen: whoever waits must come to an end all the same, and the log has the rest.
        traceback.print_exception(error, file=sys.stderr)
        with stack.lock:
            made.status, made.reason = "FAILED", f"Internal Failure: {error!r}"
        return
    with stack.lock:
        made.request, made.changes = request, tuple(found.changes)
        if found.any or made.kind == "CREATE":
            made.status = "CREATE_COMPLETE"
            made.execution = "AVAILABLE" if stack.operations == operations else "OBSOLETE"
        else:
            made.status, made.reason = "FAILED", NO_CHANGES


def found(store: Store, asked: Mapping[str, Any]) -> tuple[Stack, ChangeSet]:
    """The change set that ``ChangeSetName`` (a name or an ARN) and ``StackName`` name."""
    name = str(asked["ChangeSetName"])
    if name.startswith("arn:"):
        for stack in store:
            for each in (*stack.change_sets.values(), *stack.executed.values()):
                if each.id == name:
                    return stack, each
        raise no_change_set(name)
    if not asked.get("StackName"):
        raise Refused("StackName must be specified if ChangeSetName is not specified as an ARN.")
    stack = store.get(str(asked["StackName"]))
    one = stack.change_sets.get(name) or stack.executed.get(name)
    if one is None:
        raise no_change_set(name)
    return stack, one


def describe_change_set(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack, each = found(store, asked)
    with stack.lock:
        answer: dict[str, Any] = {
            **_summary(stack, each),
            "Parameters": parameters(each.request.inputs),
            "Tags": tags(each.request.tags),
            "Capabilities": list(each.request.capabilities),
            "NotificationARNs": list(each.request.notifications),
            "Changes": list(each.changes),
            "OnStackFailure": each.on_failure,
        }
    return answer


def _summary(stack: Stack, each: ChangeSet) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ChangeSetId": each.id,
        "ChangeSetName": each.name,
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": each.created,
        "Status": each.status,
        "ExecutionStatus": each.execution,
        "IncludeNestedStacks": each.looks_inside,
    }
    if each.parent:
        found["ParentChangeSetId"] = each.parent
    if each.reason:
        found["StatusReason"] = each.reason
    if each.description:
        found["Description"] = each.description
    return found


def list_change_sets(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.get(str(asked["StackName"]))
    with stack.lock:
        executing = [each for each in stack.executed.values() if each.execution == _EXECUTING]
        listed = [*executing, *stack.change_sets.values()]
        return {"Summaries": [_summary(stack, each) for each in listed]}


def delete_change_set(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One that is gone already counts as deleted."""
    try:
        stack, each = found(store, asked)
    except Refused as error:
        if error.code == "ChangeSetNotFound":
            return {}
        raise
    with stack.lock:
        if each.execution == _EXECUTING or each.status.endswith("_IN_PROGRESS"):
            raise Refused(
                f"ChangeSet [{each.id}] cannot be deleted in its current status of [{each.status}]",
                "InvalidChangeSetStatus",
            )
        for kept in (stack.change_sets, stack.executed):
            if kept.get(each.name) is each:
                del kept[each.name]
    nested_change_sets.drop(store, each)
    return {}


def execute_change_set(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack, each = found(store, asked)
    if each.parent:
        raise Refused("Nested change sets cannot be executed: execute the root change set.")
    requests.judge_role(store, each.request.role)
    with store.lock, stack.lock:
        if each.execution != "AVAILABLE":
            status = each.status if each.status != "CREATE_COMPLETE" else each.execution
            raise Refused(
                f"ChangeSet [{each.id}] cannot be executed in its current status of [{status}]",
                "InvalidChangeSetStatus",
            )
        if stack.busy or stack.status in _STUCK:
            raise wrong_state(stack.id, stack.status)
        each.execution = _EXECUTING
        stack.operations += 1
        # Its name is free for the next one.
        stack.executed[each.name] = stack.change_sets.pop(each.name)
        for other in stack.change_sets.values():
            if other.execution == "AVAILABLE":
                other.execution = "OBSOLETE"
        creating = stack.status == "REVIEW_IN_PROGRESS"
        request = each.request
        if asked.get("RetainExceptOnCreate") in (True, "true"):
            request = replace(request, retain_except_on_create=True)
        if creating:
            stack.request = request
            stack.on_failure = each.on_failure
            if asked.get("DisableRollback") in (True, "true"):
                stack.on_failure = "DO_NOTHING"
        stack.told("CREATE_IN_PROGRESS" if creating else "UPDATE_IN_PROGRESS", "User Initiated")
    nested_change_sets.drop(store, each)
    execution = Execution(store, stack, request)

    def run() -> None:
        (execution.create if creating else execution.update)()
        good = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        each.execution = "EXECUTE_COMPLETE" if good else "EXECUTE_FAILED"

    in_background(stack, run)
    return {}
