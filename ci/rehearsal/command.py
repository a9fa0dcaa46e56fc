"""The command ``rehearse`` for a source tree that declares its pipelines."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ci.errors import InputError, InputErrors, PipelineError
from ci.home import Home
from ci.package import run as packaging
from ci.planning.plan import Plan
from ci.rehearsal import infrastructure
from ci.settings import OPTIONS, Settings

Planned = Callable[[Settings], Plan]
_DECLARED = ("build_id", "commit", "layer_repository", "layer_digest", "bucket", "endpoint")
"""Options whose values the pipelines themselves decide."""


def rehearse(
    settings: Settings,
    environ: Mapping[str, str],
    home: Home,
    planned: Planned,
    out: IO[str],
    err: IO[str],
) -> int:
    """Rehearses. ``planned`` judges the source tree, and starts the local registry.

    Raises InputError where nothing was started, PipelineError; the report is written however it
    ends.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    _judge(settings)
    stack = infrastructure.read(settings)
    with _alone(home):
        plan = planned(_as_the_builds(settings, stack.prefix))
        from ci import ending
        from ci.console import folds_of
        from ci.rehearsal.progress import Progress
        from ci.rehearsal.results import Results, summarize
        from ci.rehearsal.story import Story

        story = Story(replace(plan, settings=settings), stack)
        folds = folds_of(environ)
        progress = Progress(err, folds)

        async def tell() -> None:
            _cleared(settings.report)
            await story.tell(home, environ, progress, None)

        ended = ending.of(tell)
        seconds = time.monotonic() - clock
        results = Results(story, started, seconds, ended.outcome(), ended.error)
        return ending.told(results, settings, summarize, out, err)


def declared(settings: Settings) -> bool:
    """Whether the source tree declares pipelines to rehearse."""
    return infrastructure.declared(settings.source)


def _judge(settings: Settings) -> None:
    """Raises InputErrors for options that the declared pipelines leave no room for."""
    problems = [
        InputError(
            option.flag,
            f"is decided by the pipelines that {infrastructure.TEMPLATE} declares",
            "leave it out, or use it with layer or app",
        )
        for option in OPTIONS
        if option.name in _DECLARED and settings.origins[option.name] == option.flag
    ]
    if "/" in settings.registry:
        what = f"{settings.registry} has a folder; the declared repositories are in none"
        problems.append(InputError(settings.origins["registry"], what, "name a host only"))
    if problems:
        raise InputErrors(problems)


def _as_the_builds(settings: Settings, prefix: str) -> Settings:
    """The settings with which the builds will judge the tree: its stacks, too."""
    return replace(
        settings, prefix=prefix, bucket="artifacts", endpoint="http://127.0.0.1:1",
        layer_repository="", layer_digest="", build_id="", commit="",
    )  # fmt: skip


def _cleared(report: Path) -> None:
    """Makes the report's directories; logs and packaged stacks of the rehearsal before go. Raises
    PipelineError."""
    packaging.discard(report)
    try:
        (report / "logs").mkdir(parents=True, exist_ok=True)
        for old in (report / "logs").glob("*.log"):
            old.unlink()
    except OSError as error:
        fix = "make it writable, or name another with --report"
        raise PipelineError(str(report), f"cannot be used: {error.strerror}", fix) from error


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Raises InputError where another rehearsal of this home is at work: they share a cloud."""
    home.local.mkdir(parents=True, exist_ok=True)
    with (home.local / "rehearsal.lock").open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = f"another one is at work in {home.root}: two would change the same stacks"
            fix = "wait until it has ended, or set PIPELINE_HOME to another directory"
            raise InputError("rehearsal", what, fix) from error
        yield
