"""Actions of the API that make, change and delete stacks.

Source: AWS CloudFormation API Reference, CreateStack, UpdateStack, DeleteStack, SetStackPolicy …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ci.local.aws_apis.cloudformation import policy, requests
from ci.local.aws_apis.cloudformation.change_set_actions import _STUCK, new_stack
from ci.local.aws_apis.cloudformation.changes import changes
from ci.local.aws_apis.cloudformation.execution import Execution, in_background
from ci.local.aws_apis.cloudformation.refusals import NO_UPDATES, Refused, wrong_state
from ci.local.aws_apis.cloudformation.stacks import Stack, Store


def create_stack(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    name = str(asked["StackName"])
    _judge_free(store, name)
    request = requests.given(store, None, asked)
    requests.judge_expansion(request)
    request = requests.transformed(store, name, "", request)
    with store.lock:
        _judge_free(store, name)
        stack = new_stack(store, name, request, "CREATE_IN_PROGRESS")
        stack.on_failure = str(asked.get("OnFailure") or "ROLLBACK")
        if asked.get("DisableRollback") in (True, "true"):
            stack.on_failure = "DO_NOTHING"
        stack.protected = asked.get("EnableTerminationProtection") in (True, "true")
        if body := _policy(asked):
            stack.policy = body
        stack.told("CREATE_IN_PROGRESS", "User Initiated")
    in_background(stack, Execution(store, stack, request).create)
    return {"StackId": stack.id}


def _judge_free(store: Store, name: str) -> None:
    if store.find(name):
        raise Refused(f"Stack [{name}] already exists", "AlreadyExistsException")


def update_stack(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.find(str(asked["StackName"]))
    if stack is None or not stack.alive:
        raise Refused(f"Stack [{asked['StackName']}] does not exist")
    _judge_updatable(stack)
    request = requests.given(store, stack, asked)
    requests.judge_expansion(request)
    request = requests.transformed(store, stack.name, stack.id, request)
    any_change = changes(store, stack, request).any
    if not any_change:
        raise Refused(NO_UPDATES)
    with store.lock, stack.lock:
        _judge_updatable(stack)
        if body := _policy(asked):
            stack.policy = body
        stack.operations += 1
        stack.told("UPDATE_IN_PROGRESS", "User Initiated")
    in_background(stack, Execution(store, stack, request).update)
    return {"StackId": stack.id}


def _judge_updatable(stack: Stack) -> None:
    if stack.busy or stack.status in (*_STUCK, "REVIEW_IN_PROGRESS"):
        raise wrong_state(stack.id, stack.status)


def delete_stack(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A stack that is gone already counts as deleted."""
    stack = store.find(str(asked["StackName"]))
    if stack is None or not stack.alive:
        return {}
    retained = [str(each) for each in asked.get("RetainResources") or ()]
    forced = asked.get("DeletionMode") == "FORCE_DELETE_STACK"
    role = str(asked.get("RoleARN") or stack.request.role)
    requests.judge_role(store, role)
    request = replace(stack.request, role=role)
    with store.lock, stack.lock:
        if stack.status == "DELETE_IN_PROGRESS":
            return {}
        if stack.busy:
            raise Refused(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        if stack.protected:
            raise Refused(
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if (retained or forced) and stack.status != "DELETE_FAILED":
            raise Refused(
                f"Invalid operation on stack [{stack.id}]. Resources can be retained, and a "
                "deletion forced, only for stacks in DELETE_FAILED state"
            )
        before = stack.status
        stack.told("DELETE_IN_PROGRESS", "User Initiated")
        if used := _used_exports(store, stack):
            stack.told("DELETE_FAILED" if before == "DELETE_FAILED" else before, used)
            return {}
    execution = Execution(store, stack, request)
    in_background(stack, lambda: execution.delete(retained, forced=forced))
    return {}


def _used_exports(store: Store, stack: Stack) -> str:
    """Why a stack's exports forbid its deletion; blank where they do not."""
    for output in stack.outputs:
        if output.export and (importers := store.importers(output.export)):
            names = " and ".join(each.name for each in importers)
            return f"Export {output.export} cannot be deleted as it is in use by {names}"
    return ""


def _policy(asked: Mapping[str, Any]) -> str:
    body = str(asked.get("StackPolicyBody") or "")
    if asked.get("StackPolicyURL"):
        raise Refused("StackPolicyURL is not supported by the local cloud: use StackPolicyBody")
    if body:
        policy.judge(body)
    return body


def set_stack_policy(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.get(str(asked["StackName"]))
    body = _policy(asked)
    if not body:
        raise Refused("You must specify either StackPolicyBody or StackPolicyURL")
    with stack.lock:
        stack.policy = body
    return {}


def get_stack_policy(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.get(str(asked["StackName"]))
    return {"StackPolicyBody": stack.policy} if stack.policy else {}


def update_termination_protection(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    stack = store.get(str(asked["StackName"]))
    with stack.lock:
        stack.protected = asked.get("EnableTerminationProtection") in (True, "true")
    return {"StackId": stack.id}
