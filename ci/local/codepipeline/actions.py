"""Performs one action: its inputs at hand, its outputs kept, its variables told."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ci.local.codepipeline import (
    approvals,
    artifact_store,
    build_actions,
    source_actions,
    stack_actions,
)
from ci.local.codepipeline.declaration import Action, Stage
from ci.local.codepipeline.execution import Done, Execution
from ci.local.codepipeline.task import Outcome, Task
from ci.local.codepipeline.world import World

_KINDS: Mapping[str, Callable[[Task], Awaitable[Outcome]]] = {
    "CodeCommit": source_actions.repository,
    "CodeStarSourceConnection": source_actions.repository,
    "ECR": source_actions.image,
    "CodeBuild": build_actions.build,
    "CloudFormation": stack_actions.deploy,
    "Manual": approvals.approve,
}


async def perform(
    action: Action, stage: Stage, execution: Execution, done: Done, world: World
) -> str:
    """Performs an action whose variables are filled in; what came of it, in words.

    Raises PipelineError.
    """
    with tempfile.TemporaryDirectory(prefix="action-", dir=world.scratch) as directory:
        scratch = Path(directory)
        inputs = {
            name: await artifact_store.get(
                world.desk, execution.artifacts[name], scratch / "inputs" / name
            )
            for name in action.inputs
        }
        task = Task(action, stage, execution, done, world, inputs, scratch)
        outcome = await _KINDS[action.provider](task)
        for name, file in zip(action.outputs, outcome.outputs, strict=True):
            execution.artifacts[name] = await artifact_store.put(
                world.desk, execution.pipeline, name, file, outcome.revision
            )
    if action.namespace:
        execution.variables[action.namespace] = dict(outcome.variables)
    return outcome.told
