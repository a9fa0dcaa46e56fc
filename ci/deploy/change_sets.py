"""Change sets: made, read, executed or given up.

Source: AWS CloudFormation API Reference, CreateChangeSet, DescribeChangeSet, ExecuteChangeSet.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ci.deploy import changes
from ci.deploy.changes import Change
from ci.deploy.desk import Desk
from ci.deploy.found import STACK, Found, is_missing
from ci.deploy.states import REVIEW
from ci.errors import PipelineError

PREFIX = "deploy-"
"""Of our change sets' names."""
_EMPTY = ("didn't contain changes", "No updates are to be performed")
_GRACE = 3.0


class Overtaken(PipelineError):
    """Somebody else is at work on the stack, or was since its change set was made."""


@dataclass(frozen=True)
class Wanted:
    """What a stack is to be. A parameter without a value keeps the one that it has; tags that are
    None stay as they are; ``role`` is the one that CloudFormation takes on, if any; ``name`` is
    the change set's, if its own matters. A ``template_body`` stands for one without a URL."""

    stack: str
    template_url: str
    parameters: Mapping[str, str | None]
    tags: Mapping[str, str] | None
    capabilities: Sequence[str]
    role: str
    has_nested: bool = False
    name: str = ""
    template_body: str = ""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed. ``creates`` says that its stack is yet to be made."""

    id: str
    stack: str
    stack_id: str
    creates: bool
    changes: tuple[Change, ...]


async def create(desk: Desk, wanted: Wanted, there: Found | None) -> ChangeSet | None:
    """The change set that leads to what is wanted; None where there is nothing to change.

    Raises PipelineError where CloudFormation refuses. Nothing of it stays behind then, nor after a
    cancellation.
    """
    creates = there is None or there.status == REVIEW
    name = wanted.name or f"{PREFIX}{uuid.uuid4().hex[:12]}"
    arguments: dict[str, Any] = {
        "StackName": wanted.stack,
        "ChangeSetName": name,
        "ChangeSetType": "CREATE" if creates else "UPDATE",
        "Parameters": [_parameter(key, value) for key, value in wanted.parameters.items()],
        "Capabilities": list(wanted.capabilities),
        "ClientToken": f"{name}-{uuid.uuid4().hex[:12]}" if wanted.name else name,
    }
    if wanted.template_body:
        arguments["TemplateBody"] = wanted.template_body
    else:
        arguments["TemplateURL"] = wanted.template_url
    if wanted.tags is not None:
        arguments["Tags"] = [{"Key": key, "Value": tag} for key, tag in wanted.tags.items()]
    if wanted.role:
        arguments["RoleARN"] = wanted.role
    if wanted.has_nested and not creates:
        arguments["IncludeNestedStacks"] = True

    def asked(client: Any) -> tuple[str, str]:
        try:
            answer = client.create_change_set(**arguments)
        except client.exceptions.ClientError as error:
            raise _refused(wanted.stack, error) from error
        return answer["Id"], answer["StackId"]

    made = ChangeSet(name, wanted.stack, wanted.stack, creates, ())
    try:
        made_id, stack_id = await desk.stacks("CreateChangeSet", asked)
        made = ChangeSet(made_id, wanted.stack, stack_id, creates, ())
        described = await _completed(desk, made)
    except BaseException:
        await give_up(desk, made)
        raise
    if described is None:
        await give_up(desk, made)
        return None
    found = await _with_nested(desk, described, ())
    return ChangeSet(made_id, wanted.stack, stack_id, creates, tuple(found))


async def find(desk: Desk, stack: str, name: str) -> ChangeSet | None:
    """A change set that somebody made, by its name; None where there is none."""

    def asked(client: Any) -> dict[str, Any] | None:
        try:
            [found] = client.describe_stacks(StackName=stack)["Stacks"]
            described = client.describe_change_set(ChangeSetName=name, StackName=stack)
        except client.exceptions.ClientError as error:
            if _is_gone(error):
                return None
            raise
        return {**described, "StackStatus": found["StackStatus"]}

    if (about := await desk.stacks("DescribeChangeSet", asked)) is None:
        return None
    id_, stack_id = about["ChangeSetId"], about["StackId"]
    described = await _described(desk, id_, stack_id)
    changed = await _with_nested(desk, described["Changes"], ())
    return ChangeSet(id_, stack, stack_id, about["StackStatus"] == REVIEW, tuple(changed))


async def discard(desk: Desk, stack: str, name: str) -> None:
    """Deletes a change set by its name, if there is one."""
    made = ChangeSet(name, stack, stack, creates=False, changes=())
    await desk.stacks("DeleteChangeSet", lambda client: _delete(client, made))


async def execute(desk: Desk, change_set: ChangeSet, token: str) -> None:
    """Begins the execution. Raises PipelineError where somebody else was faster."""

    def asked(client: Any) -> None:
        try:
            client.execute_change_set(
                ChangeSetName=change_set.id, StackName=change_set.stack_id, ClientRequestToken=token
            )
        except client.exceptions.ClientError as error:
            raise _refused(change_set.stack, error) from error

    await desk.stacks("ExecuteChangeSet", asked)


async def give_up(desk: Desk, change_set: ChangeSet) -> None:
    """Deletes a change set that is not executed, and the empty shell of a stack that it made.

    Says what it leaves behind where it cannot.
    """
    name = change_set.id.rpartition("changeSet/")[2]
    left = f"{change_set.stack}: the change set {name} is left behind"
    with anyio.CancelScope(shield=True), anyio.move_on_after(_GRACE) as scope:
        try:
            await desk.stacks("DeleteChangeSet", lambda client: _delete(client, change_set))
            left = f"{change_set.stack}: the stack is left behind, empty; a deployment takes it"
            if change_set.creates:
                await desk.stacks("DeleteStack", lambda client: _delete_shell(client, change_set))
        except PipelineError as error:
            desk.say(f"{left} ({error.what})")
    if scope.cancelled_caught:
        desk.say(f"{left} (no answer in {_GRACE:.0f} s)")


async def others(desk: Desk, stack: str) -> list[str]:
    """The names of the change sets of a stack that could still be executed and are not ours."""

    def asked(client: Any) -> list[dict[str, Any]]:
        pages = client.get_paginator("list_change_sets").paginate(StackName=stack)
        return [each for page in pages for each in page["Summaries"]]

    return [
        each["ChangeSetName"]
        for each in await desk.stacks("ListChangeSets", asked)
        if each["Status"] != "FAILED" and not each["ChangeSetName"].startswith(PREFIX)
    ]


async def _completed(desk: Desk, made: ChangeSet) -> list[dict[str, Any]] | None:
    """The changes, once CloudFormation knows them; None where there are none."""
    deadline = anyio.current_time() + desk.longest
    for looks in itertools.count():
        described = await _described(desk, made.id, made.stack_id)
        status, reason = described["Status"], described.get("StatusReason") or ""
        if status == "CREATE_COMPLETE":
            return list(described["Changes"])
        if status == "FAILED":
            if any(each in reason for each in _EMPTY):
                return None
            what = f"CloudFormation makes no change set: {reason or 'it does not say why'}"
            fix = "mend what it names, in the template or its parameters, and package again"
            raise PipelineError(f"stack {made.stack}", what, fix)
        if status not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            what = f"its change set is in {status}: somebody else is at work on the stack"
            raise Overtaken(f"stack {made.stack}", what, "run again when that is done")
        if anyio.current_time() > deadline:
            what = f"CloudFormation works on its change set for more than {desk.longest:.0f} s"
            raise PipelineError(f"stack {made.stack}", what, "run again, or raise --timeout")
        await desk.pause(looks)
    raise AssertionError("unreachable: it is looked at until it ends")


async def _described(desk: Desk, change_set: str, stack: str) -> dict[str, Any]:
    """A change set with all of its changes."""

    def asked(client: Any) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        changes_of_all: list[Any] = []
        more: dict[str, str] = {}
        while True:
            answer = client.describe_change_set(ChangeSetName=change_set, StackName=stack, **more)
            changes_of_all += answer.get("Changes") or ()
            if not answer.get("NextToken"):
                return {**answer, "Changes": changes_of_all}
            more = {"NextToken": answer["NextToken"]}

    return await desk.stacks("DescribeChangeSet", asked)


async def _with_nested(
    desk: Desk, described: Sequence[Mapping[str, Any]], within: tuple[str, ...]
) -> list[Change]:
    """The changes, those of nested stacks after the nested stack's own."""
    result: list[Change] = []
    described = [each for each in described if "ResourceChange" in each]
    for each, change in zip(described, changes.read(described, within), strict=True):
        result.append(change)
        below = each["ResourceChange"].get("ChangeSetId")
        if change.kind == STACK and below:
            inner = await _described(desk, below, change.physical_id or below)
            result += await _with_nested(desk, inner["Changes"], (*within, change.logical_id))
    return result


def _parameter(key: str, value: str | None) -> dict[str, Any]:
    if value is None:
        return {"ParameterKey": key, "UsePreviousValue": True}
    return {"ParameterKey": key, "ParameterValue": value}


def _delete(client: Any, change_set: ChangeSet) -> None:
    try:
        client.delete_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    except client.exceptions.ClientError as error:
        if not _is_gone(error):
            raise


def _delete_shell(client: Any, change_set: ChangeSet) -> None:
    """Deletes a stack that has nothing in it but change sets, and no other than ours."""
    try:
        [stack] = client.describe_stacks(StackName=change_set.stack_id)["Stacks"]
        left = client.list_change_sets(StackName=change_set.stack_id)["Summaries"]
        if stack["StackStatus"] == REVIEW and not left:
            client.delete_stack(StackName=change_set.stack_id)
    except client.exceptions.ClientError as error:
        if not _is_gone(error):
            raise


def _is_gone(error: Any) -> bool:
    return is_missing(error) or error.response["Error"].get("Code") in (
        "ChangeSetNotFound", "ChangeSetNotFoundException",
    )  # fmt: skip


def _refused(stack: str, error: Any) -> Exception:
    """CloudFormation's refusal as the user's, where it is about the stack."""
    code = error.response["Error"].get("Code", "")
    said = error.response["Error"].get("Message", "")
    fix = "run again when that is done; the new change set then starts from what it made"
    where = f"stack {stack}"
    if "_IN_PROGRESS" in said:
        return Overtaken(where, f"somebody else is at work on it ({said})", fix)
    if code in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException") or _is_gone(error):
        what = f"was changed by somebody else since its change set was made ({said})"
        return Overtaken(where, what, fix)
    if code in ("ValidationError", "InsufficientCapabilitiesException"):
        return PipelineError(where, f"CloudFormation refuses it: {said}", "mend what it names")
    return error  # type: ignore[no-any-return]
