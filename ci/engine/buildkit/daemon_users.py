"""Who uses the daemon, and who may start or stop it: two locks that die with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ci.daemons import locked
from ci.engine.buildkit import procfs
from ci.engine.buildkit.daemon_config import Paths


@contextlib.contextmanager
def starting_or_stopping(paths: Paths) -> Iterator[None]:
    """One process at a time in here."""
    with locked(paths.start_lock):
        yield


@contextlib.contextmanager
def holding(paths: Paths) -> Iterator[None]:
    """Any number of processes at a time in here; each is a user of the daemon."""
    with paths.use_lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def others(paths: Paths) -> list[str]:
    """The users of the daemon besides this process, as ``pid 12 (python main.py)``."""
    if not _is_locked(paths.use_lock):
        return []
    pids = procfs.lock_holders(paths.use_lock)
    if not pids:  # /proc/locks shows the holders of our own pid namespace only
        return ["a process of another container"]
    return [procfs.describe(pid) for pid in pids if pid != os.getpid()]


def everybody(paths: Paths) -> list[str]:
    """All users of the daemon that the kernel shows, as ``pid 12 (python main.py)``."""
    return [procfs.describe(pid) for pid in procfs.lock_holders(paths.use_lock)]


def owners_of_root(paths: Paths) -> list[str]:
    """Whoever holds the lock by which a BuildKit daemon claims its state directory."""
    lock = paths.root / "buildkitd.lock"
    if not _is_locked(lock):
        return []
    return [procfs.describe(pid) for pid in procfs.lock_holders(lock)] or ["of another container"]


def _is_locked(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
