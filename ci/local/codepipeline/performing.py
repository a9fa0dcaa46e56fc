"""Performs an execution: its stages in order, the actions of a group side by side.

Source: CodePipeline User Guide, "How pipeline executions work".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import anyio

from ci.errors import PipelineError
from ci.local.codepipeline import actions, variables
from ci.local.codepipeline.declaration import Action, Stage
from ci.local.codepipeline.execution import Done, Execution
from ci.local.codepipeline.world import World


async def perform(
    execution: Execution, world: World, same: Mapping[str, str] | None = None
) -> None:
    """Performs an execution to its end or its first failing stage.

    ``same`` are revisions with which it need not go on after its sources. What fails is in the
    execution; errors that are no PipelineError are raised.
    """
    execution.status = "running"
    execution.variables = {
        variables.EXECUTION: {"PipelineExecutionId": execution.id},
        variables.PIPELINE: dict(execution.pipeline.variables),
    }
    began = time.monotonic()
    try:
        for index, stage in enumerate(execution.pipeline.stages):
            if not await _stage(execution, stage, world):
                execution.status = "failed"
                return
            if index == 0 and same is not None and execution.revisions == same:
                execution.status = "repeated"
                return
        execution.status = "succeeded"
    except BaseException:
        execution.status = "interrupted"
        raise
    finally:
        execution.seconds = time.monotonic() - began


async def _stage(execution: Execution, stage: Stage, world: World) -> bool:
    """Whether the stage succeeded. An action's failure lets those beside it end as they will."""
    done: list[Done] = []
    execution.stages.append((stage.name, done))
    for group in stage.groups():
        async with anyio.create_task_group() as tasks:
            for action in group:
                entry = Done(action.name, action.provider)
                done.append(entry)
                tasks.start_soon(_action, execution, stage, action, entry, world)
        if any(entry.status != "succeeded" for entry in done):
            return False
    return True


async def _action(
    execution: Execution, stage: Stage, action: Action, done: Done, world: World
) -> None:
    where = execution.pipeline.where(stage, action)
    place = f"{stage.name} / {action.name}"
    began = time.monotonic()
    try:
        filled = _filled(action, execution, where)
        done.told = await actions.perform(filled, stage, execution, done, world)
        done.status = "succeeded"
    except PipelineError as error:
        done.status, done.error = "failed", _placed(error, where)
        done.told = f"{error.where}: {error.what}".splitlines()[0]
    finally:
        if done.status == "running":
            done.status = "interrupted"
        done.seconds = time.monotonic() - began
    world.audience.ended(place, done.status, done.told, done.seconds, done.log)


def _filled(action: Action, execution: Execution, where: str) -> Action:
    """The action with the values of its variables."""
    try:
        configuration = {
            key: variables.filled(value, execution.variables)
            for key, value in action.configuration.items()
        }
    except variables.Unresolved as error:
        fix = "see that the action that gives it does export it"
        raise PipelineError(where, f"refers to {error}, which has no value", fix) from error
    return replace(action, configuration=configuration)


def _placed(error: PipelineError, where: str) -> PipelineError:
    """The error with its place in the pipeline before what it says itself."""
    if error.where.startswith("pipeline "):
        return error
    return PipelineError(where, f"{error.where}: {error.what}", error.fix)
