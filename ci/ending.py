"""How a command that works ends: what became of it, the report, the exit code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from ci import report
from ci.errors import InputError, PipelineError
from ci.interrupts import Interrupted, running
from ci.report import Told
from ci.settings import Settings

T = TypeVar("T", bound=Told)


@dataclass(frozen=True)
class Ending:
    """Why work ended before it was done, if it did."""

    error: PipelineError | None = None
    interrupted: bool = False

    def outcome(self, *, good: bool = True) -> str:
        """The report's word for it; ``good`` where the work has nothing bad to tell."""
        if self.interrupted:
            return "interrupted"
        return "succeeded" if good and not self.error else "failed"


def of(work: Callable[[], Awaitable[None]]) -> Ending:
    """Runs ``work`` to its end. Raises InputError: nothing was started, there is no report."""
    try:
        running(work)
    except Interrupted:
        return Ending(interrupted=True)
    except InputError:
        raise
    except PipelineError as problem:
        return Ending(problem)
    return Ending()


def told(
    result: T,
    settings: Settings,
    summarize: Callable[[T, Path, IO[str]], None],
    out: IO[str],
    err: IO[str],
) -> int:
    """Writes the report, sums it up, and gives the exit code. Raises the error that ended it."""
    report.write(result, settings.report)
    summarize(result, settings.report, err if settings.json else out)
    if settings.json:
        json.dump(result.as_json(), out, indent=2, ensure_ascii=False)
        out.write("\n")
    if result.error:
        raise result.error
    return {"succeeded": 0, "failed": 1}.get(result.outcome, 130)
