"""Processes that outlive a run: start them, recognise them again, end them and nobody else's."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid.

    ``started`` is the boot's id and the start time in clock ticks since that boot (proc(5),
    ``/proc/PID/stat`` field 22).
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now; None where there is none or only a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field, the program's name in brackets, may hold spaces and brackets.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, f"{boot}:{fields[19]}")

    @classmethod
    def read(cls, file: Path) -> Process | None:
        """The process that ``write`` recorded; None where it is gone or the file says nothing."""
        try:
            recorded = cls(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return recorded if recorded.alive() else None

    def write(self, file: Path) -> None:
        replace_text(file, json.dumps(asdict(self)))

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; returns when the process is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        # From here on the handle, not the number, names the process, so the check below holds.
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not self.alive():
                    return
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                select.select([handle], [], [], grace)
        finally:
            os.close(handle)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)


def spawn(argv: Sequence[str], log: Path, environ: Mapping[str, str]) -> Process | None:
    """Start a daemon in a session of its own, its output appended to ``log``.

    It inherits ``environ`` and nothing else: no credentials, no terminal, no Ctrl-C. None where it
    ended at once.
    """
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=dict(environ),
            cwd="/",
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to outlive us: no ResourceWarning about it
    return Process.of(child.pid)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time in here. The lock dies with its holder and is not inherited."""
    with file.open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def replace_text(file: Path, text: str) -> None:
    """Write a file so that readers see the old or the new text, and never a part of one."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(file)
