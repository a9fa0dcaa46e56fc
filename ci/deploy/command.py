"""Runs a command that changes stacks, and writes the report however it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Protocol

from ci import ending, report
from ci.console import Console, folds_of
from ci.deploy import reach
from ci.deploy.deployment import Deployment
from ci.deploy.destruction import Destruction
from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.reach import Reach
from ci.deploy.record import Recording
from ci.deploy.recorder import Recorder
from ci.deploy.rollback import Rollback
from ci.home import Home
from ci.report import Report
from ci.settings import Settings


class Work(Protocol):
    """What a command does. What has come of it can be read at any time."""

    takes_bucket: bool
    recording: Recording | None
    kept: list[Kept]

    @property
    def stacks(self) -> Sequence[StackOutcome]:
        """How each stack ended so far."""

    async def tell(self, reach: Reach) -> None:
        """Does it. Raises InputErrors before anything is started."""


def run(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``deploy``, ``record``, ``rollback`` and ``destroy``: the exit code.

    Raises InputError where nothing was started, PipelineError where the run as a whole failed.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    console = Console(err, folds_of(environ), settings.report, 0)
    work = _work(settings)

    async def tell() -> None:
        async with reach.opened(
            settings, home, environ, console.say, takes_bucket=work.takes_bucket
        ) as at:
            await work.tell(at)

    ended = ending.of(tell)
    result = Report(
        command=settings.command,
        target=settings.target,
        started=started,
        seconds=time.monotonic() - clock,
        outcome=ended.outcome(good=all(stack.ok for stack in work.stacks)),
        stacks=work.stacks,
        recording=work.recording,
        kept=work.kept,
        error=ended.error,
    )
    return ending.told(result, settings, report.summarize, out, err)


def _work(settings: Settings) -> Work:
    match settings.command:
        case "deploy":
            return Deployment(settings)
        case "rollback":
            return Rollback(settings)
        case "destroy":
            return Destruction(settings)
    return Recorder(settings)
