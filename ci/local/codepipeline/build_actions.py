"""CodeBuild actions: source unpacked, buildspec run, artifact taken, pushed images noticed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ci.deploy.desk import in_thread
from ci.errors import PipelineError
from ci.local.codepipeline import archives, builds, emitted
from ci.local.codepipeline.action_rules import environment
from ci.local.codepipeline.builds import Order
from ci.local.codepipeline.task import Outcome, Task
from ci.local.codepipeline.world import Images
from ci.package.stacks import ROOM

LATEST = "latest"
_REPORT = "out"
"""Where the pipeline's own commands leave their report, in the source."""
_NEWS = re.compile(r"[✓✗=] \S")
"""How the pipeline's own commands tell that a piece of work is done."""


async def build(task: Task) -> Outcome:
    """Builds, and tells ECR's pushes of ``latest``. Raises PipelineError."""
    world, action, execution = task.world, task.action, task.execution
    project = world.projects[action.configuration["ProjectName"]]
    primary = action.configuration.get("PrimarySource") or action.inputs[0]
    # The same directory each time: engines send only what changed since they last saw it.
    room = world.scratch / execution.pipeline.name / f"{task.stage.name}-{action.name}"
    inputs = {}
    for name, archive in task.inputs.items():
        target = room / ("src" if name == primary else f"src-{name}")
        inputs[name] = await in_thread(partial(archives.unpacked, archive, target))
    source = execution.artifacts[primary]
    order = Order(
        project=project,
        number=world.numbers.next(project.name),
        initiator=f"codepipeline/{execution.pipeline.name}",
        source=primary,
        inputs=inputs,
        version=source.revision,
        location=source.arn,
        region=world.region,
        variables=environment(action),
        host=world.host,
        redirected=world.redirected,
    )
    log = world.results / "logs" / f"{_log_name(task)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    task.done.log = log
    world.audience.began(task.place, f"build {order.number} of {project.name}")
    try:
        built = await builds.run(order, task.scratch, log, lambda line: _heard(task, line))
    finally:
        task.done.report = _report(order.directory / _REPORT, world.results)
    outputs: list[Path] = []
    for name in action.outputs:
        if not built.files:
            what = f"declares the artifact {name}, and its buildspec has no artifacts"
            fix = "add `artifacts:` to the buildspec, or leave OutputArtifacts out"
            raise PipelineError(f"build {project.name}", what, fix)
        outputs.append(task.scratch / f"output-{name}.zip")
        archives.from_files(built.files, outputs[-1])
    for repository, digest in (await latest(world.images, world.image_repositories)).items():
        if world.latest.get(repository) != digest:
            world.latest[repository] = digest
            world.outbox.append(emitted.image_push(world, repository, LATEST, digest))
    told = f"build {order.number} of {project.name}"
    if built.files:
        told += f", {len(built.files)} files in its artifact {built.name}".rstrip()
    return Outcome(told, built.exported, tuple(outputs), source.revision)


def _log_name(task: Task) -> str:
    pipeline, name = task.execution.pipeline, task.action.name
    same = [action for _, action in pipeline.actions if action.name == name]
    return f"{pipeline.name}-{name if len(same) == 1 else f'{task.stage.name}-{name}'}"


def _heard(task: Task, line: str) -> None:
    if _NEWS.match(line):
        task.world.audience.news(task.place, line)


async def latest(images: Images, repositories: Sequence[str]) -> dict[str, str]:
    """What ``latest`` is in each repository that has it."""
    found = {name: await images.digest(name, LATEST) for name in repositories}
    return {name: digest for name, digest in found.items() if digest}


def _report(directory: Path, results: Path) -> dict[str, Any] | None:
    """The report of the pipeline's own command; its logs and packaged stacks are kept where the
    command itself would have left them."""
    try:
        found = json.loads((directory / "report.json").read_text())
    except (OSError, ValueError):
        return None
    for log in sorted((directory / "logs").glob("*.log")):
        shutil.copyfile(log, results / "logs" / log.name)
    if (directory / ROOM).is_dir():
        shutil.rmtree(results / ROOM, ignore_errors=True)
        shutil.copytree(directory / ROOM, results / ROOM)
    return found if isinstance(found, dict) else None
