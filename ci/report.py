"""``report.json`` and the summary: what a run did, for programs and for people.

Schema: ``docs/report.schema.json``; version 1 is only ever extended.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from ci.building.outcome import Outcome
from ci.deploy.outcome import Kept, StackOutcome
from ci.errors import PipelineError
from ci.package.outcome import PackagedStack
from ci.values import tell_bytes, tell_seconds

if TYPE_CHECKING:
    from ci.deploy.record import Recording

_LAST_LINES = 15


@dataclass(frozen=True)
class Report:
    """A whole run. ``outcome`` is succeeded, failed or interrupted; ``engine`` describes the
    session; ``bases`` are digests by reference, ``stand_ins`` those that no upstream gave.
    ``recording`` is what the images' tags say after a deployment, ``kept`` what destroyed stacks
    left."""

    command: str
    target: str
    started: datetime
    seconds: float
    outcome: str
    engine: Mapping[str, str] | None = None
    deployment_tag: str = ""
    layer: Outcome | None = None
    functions: Sequence[Outcome] = ()
    bases: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Sequence[str] = ()
    stacks: Sequence[PackagedStack | StackOutcome] = ()
    recording: Recording | None = None
    kept: Sequence[Kept] = ()
    error: PipelineError | None = None

    @property
    def images(self) -> list[Outcome]:
        """Every image's outcome, the layer's first."""
        return ([self.layer] if self.layer else []) + list(self.functions)

    def as_json(self) -> dict[str, Any]:
        """The report as its schema has it."""
        return {
            "version": 1,
            "command": self.command,
            "target": self.target,
            "engine": dict(self.engine) if self.engine else None,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "outcome": self.outcome,
            "error": told_error(self.error),
            "deployment_tag": self.deployment_tag or None,
            "layer": _image(self.layer) if self.layer else None,
            "bases": dict(self.bases),
            "stand_ins": list(self.stand_ins),
            "functions": [_image(outcome) for outcome in self.functions],
            "stacks": [_stack(stack) for stack in self.stacks],
            "recorded": _recorded(self.recording),
            "kept": [each.as_json() for each in self.kept],
        }


class Told(Protocol):
    """A report of any kind. ``outcome`` is succeeded, failed or interrupted."""

    @property
    def outcome(self) -> str: ...

    @property
    def error(self) -> PipelineError | None: ...

    def as_json(self) -> dict[str, Any]:
        """The report as its schema has it."""


def write(report: Told, directory: Path) -> Path:
    """Writes ``report.json``, whole or not at all. Raises PipelineError where it cannot."""
    path = directory / "report.json"
    fresh = directory / f".report.json.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
        fresh.replace(path)
    except OSError as error:
        fix = "make the directory writable, or name another with --report"
        raise PipelineError(str(path), f"cannot be written: {error.strerror}", fix) from error
    return path


def summarize(report: Report, directory: Path, stream: IO[str]) -> None:
    """The table of all images, then the end of each failed one's log."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, highlight=False, width=None if stream.isatty() else 140)
    if report.images:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for column in ("image", "status", "time", "size", "digest", "tags"):
            table.add_column(column, justify="right" if column in ("time", "size") else "left",
                             no_wrap=column != "tags", overflow="fold")  # fmt: skip
        colours = {"failed": "red", "skipped": "yellow"}
        for outcome in report.images:
            size = tell_bytes(outcome.bytes.total) if outcome.bytes else ""
            table.add_row(
                outcome.name, Text(outcome.status, colours.get(outcome.status, "green")),
                tell_seconds(outcome.seconds), size, outcome.digest[7:19], ", ".join(outcome.tags),
            )  # fmt: skip
        console.print(table)
    deployed = [stack for stack in report.stacks if isinstance(stack, StackOutcome)]
    if deployed:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for column in ("stack", "status", "time", "changes"):
            table.add_column(column, justify="right" if column == "time" else "left")
        for stack in deployed:
            colour = "green" if stack.ok else "red" if stack.error else "yellow"
            table.add_row(stack.name, Text(stack.status, colour), tell_seconds(stack.seconds),
                          _changes(stack))  # fmt: skip
        console.print(table)
    for line in _failures(report, directory):
        console.print(Text(line))
    console.print(Text(_last_word(report, directory)))


def _failures(report: Report, directory: Path) -> Iterator[str]:
    """The end of each failed image's log, with the path of the whole; why a stack failed."""
    for stack in report.stacks:
        if stack.error:
            verb = "packaged" if isinstance(stack, PackagedStack) else "brought to its end"
            yield f"\nstack {stack.name} could not be {verb}: {stack.error}"
    for outcome in report.images:
        if outcome.status != "failed":
            continue
        yield f"\n{outcome.name} failed: {outcome.error}"
        if outcome.log:
            path = directory / outcome.log
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            # Its very last line is the error again.
            end = [line for line in lines if line.strip()][-_LAST_LINES:]
            yield f"  the last lines of {path}:"
            yield from (f"  │ {line}" for line in end)


def _last_word(report: Report, directory: Path) -> str:
    total, good = len(report.images), sum(outcome.ok for outcome in report.images)
    used = f"; stand-in used for {', '.join(report.stand_ins)}" if report.stand_ins else ""
    done = sum(stack.ok for stack in report.stacks)
    told = [f"{good} of {total} images"] if total or not report.stacks else []
    told += [f"{done} of {len(report.stacks)} stacks"] if report.stacks else []
    return (
        f"\n{report.command} {report.outcome}: {', '.join(told)} in "
        f"{tell_seconds(report.seconds)}{used}; {directory / 'report.json'}"
    )


def _changes(stack: StackOutcome) -> str:
    """``3 added, 1 modified``, or why there are none."""
    counts = Counter(change.action for change in stack.changes)
    return ", ".join(f"{count} {action}" for action, count in counts.items()) or stack.why


def _recorded(recording: Recording | None) -> dict[str, Any] | None:
    if recording is None:
        return None
    return {
        "moved": recording.moved,
        "functions": [each.as_json() for each in recording.records],
        "notes": list(recording.notes),
    }


def _image(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "repository": outcome.repository,
        "digest": outcome.digest or None,
        "tags": list(outcome.tags),
        "status": outcome.status,
        "why": outcome.why,
        "phases": [
            {"name": phase.name, "start": round(phase.start, 3), "end": round(phase.end, 3)}
            for phase in outcome.phases
        ],
        "bytes": asdict(outcome.bytes) if outcome.bytes else None,
        "error": told_error(outcome.error),
        "log": outcome.log or None,
    }


def _stack(stack: PackagedStack | StackOutcome) -> dict[str, Any]:
    if isinstance(stack, StackOutcome):
        return told_stack(stack)
    return {
        "name": stack.name,
        "template": str(stack.template),
        "parameters": dict(stack.values),
        "change_set": [],
        "outputs": {},
        "status": "failed" if stack.error else "packaged",
        "images": [{"function": use.function or None, "uri": use.uri} for use in stack.images],
        "uploaded": list(stack.uploaded),
        "seconds": round(stack.seconds, 3),
        "notes": list(stack.notes),
        "error": told_error(stack.error),
    }


def told_stack(stack: StackOutcome) -> dict[str, Any]:
    """A stack as the report's schema has it."""
    return {
        "name": stack.name,
        "template": stack.template,
        "parameters": dict(stack.parameters),
        "change_set": [change.as_json() for change in stack.changes],
        "outputs": dict(stack.outputs),
        "status": stack.status,
        "why": stack.why,
        "seconds": round(stack.seconds, 3),
        "error": told_error(stack.error),
    }


def told_error(error: PipelineError | None) -> dict[str, str] | None:
    """An error as the report's schema has it."""
    if error is None:
        return None
    kind = getattr(error, "kind", type(error).__name__)
    return {"class": kind, "message": f"{error.where}: {error.what}", "fix": error.fix}
