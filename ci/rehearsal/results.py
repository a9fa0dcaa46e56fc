"""What a rehearsal did, for programs: ``report.json``, and for people: the summary."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from ci.deploy.outcome import StackOutcome
from ci.errors import PipelineError
from ci.local.codepipeline.execution import Done, Execution
from ci.rehearsal.infrastructure import STACK
from ci.rehearsal.story import Story
from ci.report import told_error, told_stack
from ci.values import tell_seconds

_RANK = ("skipped", "absent", "unchanged", "updated", "created", "deleted", "failed")


@dataclass(frozen=True)
class Results:
    """A rehearsal that is over. ``outcome`` is succeeded, failed or interrupted."""

    story: Story
    started: datetime
    seconds: float
    outcome: str
    error: PipelineError | None

    @property
    def executions(self) -> list[Execution]:
        """All executions, in order."""
        return self.story.executions

    def as_json(self) -> dict[str, Any]:
        """The report as its schema has it."""
        engine = self.story.engine
        reports = list(self._reports())
        session = engine.session if engine else None
        return {
            "version": 1,
            "command": "rehearse",
            "target": "local",
            "engine": {"kind": session.kind, "version": session.version, "how": session.how}
            if session
            else None,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "outcome": self.outcome,
            "error": told_error(self.error),
            "deployment_tag": _last(reports, "deployment_tag", "latest"),
            "layer": _last(reports, "layer", None),
            "bases": {key: value for each in reports for key, value in each["bases"].items()},
            "stand_ins": list(engine.stand_ins) if engine else [],
            "functions": _last(reports, "functions", []),
            "stacks": [told_stack(stack) for stack in self.stacks()],
            "pipelines": [_execution(each, self.story) for each in self.executions],
            "sample": _sample(self.story),
        }

    def stacks(self) -> list[StackOutcome]:
        """Every stack, as the last action that changed anything of it left it."""
        found = {STACK: self.story.infrastructure}
        for execution in self.executions:
            for done in execution.actions:
                if stack := done.stack:
                    known = found.get(stack.name)
                    if not known or _RANK.index(stack.status) >= _RANK.index(known.status):
                        found[stack.name] = stack
        return list(found.values())

    def _reports(self) -> Iterator[dict[str, Any]]:
        """The reports of the pipeline's own commands that builds ran."""
        for execution in self.executions:
            for done in execution.actions:
                if done.report:
                    yield done.report


def summarize(results: Results, directory: Path, stream: IO[str]) -> None:
    """Pipelines, images and stacks in a few lines; then the last word."""
    document = results.as_json()
    functions = document["functions"]
    for execution in results.executions:
        done = sum(each.status == "succeeded" for each in execution.actions)
        print(
            f"pipeline {execution.pipeline.name}: {execution.status}, {done} actions, "
            f"{tell_seconds(execution.seconds)} ({execution.trigger.text})",
            file=stream,
        )
    for stack in document["stacks"]:
        print(f"stack {stack['name']}: {stack['status']}{_changed(stack)}", file=stream)
    if sample := document["sample"]:
        print(
            f"data lake: {sample['uploaded']} objects, {sample['converted']} converted, "
            f"{sample['failed']} failed with a record; {sample['rows']} rows in Parquet",
            file=stream,
        )
    images = functions + ([document["layer"]] if document["layer"] else [])
    good = sum(each["status"] in ("built", "reused") for each in images)
    used = ", ".join(document["stand_ins"])
    print(
        f"\nrehearse {results.outcome}: {len(results.executions)} executions, {good} of "
        f"{len(images)} images, {len(document['stacks'])} stacks in "
        f"{tell_seconds(results.seconds)}{f'; stand-in used for {used}' if used else ''}; "
        f"{directory / 'report.json'}",
        file=stream,
    )


def _changed(stack: Mapping[str, Any]) -> str:
    changed = stack["change_set"]
    if not changed:
        return ""
    images = [each["logical_id"] for each in changed if each.get("image")]
    told = f", {len(changed)} changes"
    return f"{told}; new images: {', '.join(images)}" if images else told


def _last(reports: list[dict[str, Any]], key: str, otherwise: Any) -> Any:
    return next((each[key] for each in reversed(reports) if each.get(key)), otherwise)


def _execution(execution: Execution, story: Story) -> dict[str, Any]:
    directory = story.plan.settings.report
    return {
        "name": execution.pipeline.name,
        "trigger": execution.trigger.text,
        "execution": execution.id,
        "status": execution.status,
        "seconds": round(execution.seconds, 3),
        "revisions": dict(execution.revisions),
        "stages": [
            {"name": name, "actions": [_action(done, directory) for done in actions]}
            for name, actions in execution.stages
        ],
    }


def _sample(story: Story) -> dict[str, Any] | None:
    if not story.sample:
        return None
    return {"rows": story.sample.rows, **story.sample.account.as_json()}


def _action(done: Done, directory: Path) -> dict[str, Any]:
    return {
        "name": done.name,
        "provider": done.provider,
        "status": done.status,
        "told": done.told,
        "seconds": round(done.seconds, 3),
        "error": told_error(done.error),
        "log": os.path.relpath(done.log, directory) if done.log else None,
    }
