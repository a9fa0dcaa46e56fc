"""CloudFormation actions: change sets made and executed, stacks made, updated and deleted.

Source: CodePipeline User Guide, "AWS CloudFormation action reference".
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci.deploy import bucket, change_sets, changes, events, found, states
from ci.deploy import stack as one_stack
from ci.deploy.change_sets import Wanted
from ci.deploy.desk import Desk
from ci.deploy.found import Found
from ci.deploy.outcome import StackOutcome
from ci.errors import PipelineError
from ci.local.codepipeline import archives, template_configuration
from ci.local.codepipeline.execution import Prepared
from ci.local.codepipeline.task import Outcome, Task

NO_CHANGES = "no changes"
_FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED",
           "UPDATE_ROLLBACK_FAILED")  # fmt: skip


async def deploy(task: Task) -> Outcome:
    """Does what the action's mode says. Raises PipelineError."""
    modes: Mapping[str, Callable[[Task], Awaitable[Outcome]]] = {
        "CHANGE_SET_REPLACE": _replace,
        "CHANGE_SET_EXECUTE": _execute,
        "CREATE_UPDATE": _create_or_update,
        "REPLACE_ON_FAILURE": _replace_on_failure,
        "DELETE_ONLY": _delete,
    }
    given, began = task.action.configuration, time.monotonic()
    try:
        return await modes[given["ActionMode"]](task)
    except PipelineError as error:
        before = task.done.stack or StackOutcome(given["StackName"], "")
        task.done.stack = replace(before, status="failed", error=error)
        raise
    finally:
        if task.done.stack:
            task.done.stack = replace(task.done.stack, seconds=time.monotonic() - began)


async def _replace(task: Task) -> Outcome:
    given = task.action.configuration
    name, stack = given["ChangeSetName"], given["StackName"]
    prepared = await _prepared(task, name)
    task.execution.prepared[stack, name] = prepared
    return Outcome(f"change set of {stack}: {_counted(prepared)}")


async def _execute(task: Task) -> Outcome:
    given = task.action.configuration
    stack, name = given["StackName"], given["ChangeSetName"]
    prepared = task.execution.prepared.pop((stack, name), None)
    if prepared is None:
        made = await change_sets.find(_desk(task), stack, name)
        if made is None:
            what = f"has no change set {name}"
            fix = "let an action with CHANGE_SET_REPLACE make it before"
            raise PipelineError(f"stack {stack}", what, fix)
        prepared = Prepared(StackOutcome(stack, "", changes=made.changes), made, "")
    return await _executed(task, prepared)


async def _create_or_update(task: Task) -> Outcome:
    return await _executed(task, await _prepared(task, ""))


async def _replace_on_failure(task: Task) -> Outcome:
    there = await found.stack(_desk(task), task.action.configuration["StackName"])
    if there and there.status in _FAILED:
        await _deleted(task, there)
    return await _create_or_update(task)


async def _delete(task: Task) -> Outcome:
    stack = task.action.configuration["StackName"]
    there = await found.stack(_desk(task), stack)
    if there is None:
        task.done.stack = StackOutcome(stack, "absent")
        return Outcome(f"{stack} is not there")
    await _deleted(task, there)
    task.done.stack = StackOutcome(stack, "deleted")
    return Outcome(f"{stack} deleted")


async def _prepared(task: Task, name: str) -> Prepared:
    """A change set for what the action declares, shown."""
    given, desk = task.action.configuration, _desk(task)
    stack, place = given["StackName"], given["TemplatePath"]
    text, document = template_configuration.template(task, place)
    configuration = template_configuration.read(task, document.get("Parameters") or {})
    outcome = StackOutcome(stack, "", template=place, parameters=configuration.parameters)
    task.done.stack = outcome
    there = await found.stack(desk, stack)
    if there and (refused := states.refusal(stack, there.status)):
        raise PipelineError(refused.where, refused.what, refused.fix)
    await _require_role(task)
    if there and name:
        await change_sets.discard(desk, stack, name)
    wanted = Wanted(
        stack=stack,
        template_url=await bucket.upload(desk, text, place),
        parameters=configuration.parameters,
        tags=configuration.tags,
        capabilities=tuple(filter(None, given.get("Capabilities", "").split(","))),
        role=given["RoleArn"],
        name=name,
    )
    change_set = await change_sets.create(desk, wanted, there)
    exists = there is not None and there.status != states.REVIEW
    if exists and configuration.policy:
        await _protect(desk, stack, configuration.policy)
    if change_set:
        digests = await template_configuration.images(
            task, document, configuration.parameters, Path(place)
        )
        seen = await one_stack.with_images(desk, change_set, digests)
        # Of a new stack everything is new: that is told by its number.
        told = changes.lines(seen) if exists else changes.new_images(seen)
        for line in told:
            task.world.audience.news(task.place, line)
        outcome = replace(outcome, changes=seen)
    # So far nothing has happened to the stack: that is told by the action that executes.
    task.done.stack = None
    return Prepared(outcome, change_set, "" if exists else configuration.policy)


async def _executed(task: Task, prepared: Prepared) -> Outcome:
    """Executes a change set and follows it to its end. An empty one passes, as on AWS."""
    desk, change_set = _desk(task), prepared.change_set
    stack, status = prepared.outcome.name, "unchanged"
    task.done.stack = prepared.outcome
    if change_set:
        since = await events.newest(desk, change_set.stack_id)
        token = _token(task)
        await change_sets.execute(desk, change_set, token)
        await _followed(task, stack, change_set.stack_id, since, token)
        if prepared.policy:
            await _protect(desk, stack, prepared.policy)
        status = "created" if change_set.creates else "updated"
    there = await found.stack(desk, stack)
    outputs = dict(there.outputs) if there else {}
    task.done.stack = replace(prepared.outcome, status=status, outputs=outputs)
    files: tuple[Path, ...] = ()
    if task.action.outputs:
        files = (task.scratch / "outputs.zip",)
        name = task.action.configuration["OutputFileName"]
        archives.from_text(name, json.dumps(outputs), files[0])
    told = f"{stack} {status}" if change_set else f"{stack}: {NO_CHANGES}"
    return Outcome(told, outputs, files, task.execution.id)


async def _deleted(task: Task, there: Found) -> None:
    desk, token = _desk(task), _token(task)
    since = await events.newest(desk, there.id)

    def asked(client: Any) -> None:
        client.delete_stack(StackName=there.id, ClientRequestToken=token)

    await desk.stacks("DeleteStack", asked)
    await _followed(task, there.name, there.id, since, token)


async def _followed(task: Task, stack: str, stack_id: str, since: str, token: str) -> None:
    ending = await events.follow(_desk(task), stack, stack_id, since, token, lambda event: None)
    if not states.succeeded(ending.status):
        raise one_stack.failed(stack, ending)


async def _protect(desk: Desk, stack: str, policy: str) -> None:
    def asked(client: Any) -> None:
        client.set_stack_policy(StackName=stack, StackPolicyBody=policy)

    await desk.stacks("SetStackPolicy", asked)


async def _require_role(task: Task) -> None:
    """Raises PipelineError where the role that CloudFormation is to take on is not there."""
    arn = task.action.configuration["RoleArn"]

    def asked(client: Any) -> bool:
        try:
            return bool(client.get_role(RoleName=arn.rpartition("/")[2])["Role"]["Arn"] == arn)
        except client.exceptions.NoSuchEntityException:
            return False

    if not await task.world.desk.ask("iam", "iam:GetRole", asked):
        raise PipelineError("RoleArn", f"{arn} is not there", "name a role that a stack makes")


def _counted(prepared: Prepared) -> str:
    if prepared.change_set is None:
        return NO_CHANGES
    counts = Counter(change.action for change in prepared.outcome.changes)
    told = ", ".join(f"{number} {action}" for action, number in counts.items())
    return told or "only outputs or tags"


def _token(task: Task) -> str:
    return f"{task.action.name}-{task.execution.id}"[:128]


def _desk(task: Task) -> Desk:
    """The desk of the artifacts' bucket, where templates are uploaded."""
    desk = task.world.desk
    return replace(desk, cloud=replace(desk.cloud, bucket=task.execution.pipeline.bucket))
