"""Programs run and timed from outside, as whole processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# What would make a run of another machine, or of another run's session, of ours.
_OF_OTHERS = (
    *("DAGGER_SESSION_", "DAGGER_EMBEDDED", "PIPELINE_", "BUILDKIT_", "BUILDX_", "DOCKER_"),
    *("CODEBUILD_", "CI_", "GITHUB_", "AWS_", "RESOURCE_PREFIX", "ECR_COMMON_", "TRACEPARENT"),
    "PYTHONDONTWRITEBYTECODE",  # it would make Python compile every module in every run
)


class Failed(Exception):
    """A program ended with an exit code other than 0, or not in time."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and what it needs in its environment besides the user's."""

    argv: Sequence[str]
    environ: Mapping[str, str]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without what belongs to another run."""
    return {name: value for name, value in environ.items() if not name.startswith(_OF_OTHERS)}


def started(command: Command, out: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts it in a process group of its own; all that it prints goes to ``out``."""
    return subprocess.Popen(
        command.argv,
        env=environment(os.environ) | dict(command.environ),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def timed(command: Command, log: Path, seconds: float, expected: int = 0) -> float:
    """Runs it to its end and returns how many seconds that took; output goes to ``log``.

    Raises Failed with the last lines of the log. Leaves no process behind.
    """
    with log.open("wb") as out:
        begun = time.perf_counter()
        process = started(command, out)
        try:
            # Not wait(timeout), which looks every 50 ms only.
            with _handle(process) as handle:
                select.select([handle], [], [], seconds)
            took = time.perf_counter() - begun
            code = process.poll()
        finally:
            if process.poll() != expected:
                end_group(process)
    if code != expected:
        how = f"did not end within {seconds:.0f} s" if code is None else f"ended with {code}"
        raise Failed(f"{how}:\n{tail(log)}")
    return took


@contextmanager
def _handle(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """A file descriptor that is readable once the process has ended."""
    handle = os.pidfd_open(process.pid)
    try:
        yield handle
    finally:
        os.close(handle)


def end_group(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Ends a process that leads its group, and what it started in that group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(grace)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def tail(log: Path, lines: int = 8) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
