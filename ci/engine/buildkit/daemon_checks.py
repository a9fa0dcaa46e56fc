"""What has to be true before BuildKit's daemon can start, and what went wrong when it did not."""

from __future__ import annotations

import errno
import os
import shutil
import sys

from ci.engine.buildkit import daemon_users, procfs
from ci.engine.buildkit.daemon_config import Paths
from ci.errors import InputError, PipelineError
from ci.home import Home

WHERE = "embedded engine"
LOW_SPACE_MB = 500
"""Free megabytes (10**6 bytes) below which no build can be expected to end well."""
_SOCKET_PATH_BYTES = 107  # sun_path less its final NUL, unix(7)
_NO_SPACE = "no space left on device"  # as Go, and so BuildKit, words ENOSPC
_USE_DAGGER = "use a Dagger engine: --engine dagger"


def check_machine(home: Home, paths: Paths) -> None:
    """Raises ``InputError`` for the first thing that the daemon needs and this machine lacks."""
    if sys.platform != "linux":
        raise InputError(WHERE, "BuildKit's daemon runs on Linux only", _USE_DAGGER)
    if os.geteuid() != 0:
        raise InputError(
            WHERE,
            "BuildKit's daemon needs root to make containers, and this is an ordinary user",
            f"run as root (`sudo -E …`), or {_USE_DAGGER}",
        )
    if not procfs.may_mount():
        raise InputError(
            WHERE,
            "root may not mount file systems here (no CAP_SYS_ADMIN)",
            f"run this container privileged, or {_USE_DAGGER}",
        )
    if len(os.fsencode(paths.socket)) > _SOCKET_PATH_BYTES:
        raise InputError(
            WHERE,
            f"the path of its socket is longer than {_SOCKET_PATH_BYTES} bytes: {paths.socket}",
            "set PIPELINE_HOME to a shorter directory",
        )
    absent = [name for name in ("buildkitd", "buildctl", "runc") if not (home.bin / name).exists()]
    if absent:
        raise InputError(
            WHERE,
            f"{', '.join(absent)} not installed in {home.bin}",
            f"run `make setup`, or {_USE_DAGGER}",
        )


def make_private(paths: Paths) -> None:
    """Makes the state directory, for its user alone. ``InputError`` where it cannot be written."""
    try:
        paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if paths.state.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user")
        paths.state.chmod(0o700)
        paths.start_lock.touch()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full_disk(paths) from error
        raise InputError(
            f"{WHERE}'s state in {paths.state}",
            f"cannot be written: {(error.strerror or str(error)).lower()}",
            "make it writable for this user, or set PIPELINE_HOME to another directory",
        ) from error


def check_state(paths: Paths) -> None:
    """Raises ``PipelineError`` where the disk is full or another daemon owns the build cache."""
    if _free_mb(paths) < LOW_SPACE_MB:
        raise full_disk(paths)
    if owners := daemon_users.owners_of_root(paths):
        raise PipelineError(
            f"{WHERE}'s build cache {paths.root}",
            f"is in use by another BuildKit daemon: {', '.join(owners)}",
            "stop that one, or set PIPELINE_HOME to another directory",
        )


def full_disk(paths: Paths) -> PipelineError:
    return PipelineError(
        f"{WHERE}'s state in {paths.state}",
        f"the disk is full ({_free_mb(paths)} MB free)",
        f"free {LOW_SPACE_MB} MB or more, stop the engine and delete {paths.root} (it is only a "
        "cache), or set PIPELINE_HOME to a directory on another disk",
    )


def says_full_disk(text: str) -> bool:
    """Whether this is what BuildKit says when its disk is full."""
    return _NO_SPACE in text


def ended(paths: Paths, what: str) -> PipelineError:
    """Why the daemon is gone or silent, from the end of its log."""
    text = paths.log.read_text(errors="replace") if paths.log.exists() else ""
    if says_full_disk(text):
        return full_disk(paths)
    # Go prints an error's stack as pairs of lines: the function, then a tab and the place.
    lines = text.splitlines()
    stack = {index for index, line in enumerate(lines) if line.startswith("\t")}
    told = [line for index, line in enumerate(lines) if not {index, index + 1} & stack]
    said = "".join(f"\n    {line}" for line in told[-6:])
    return PipelineError(
        WHERE,
        f"{what}; the end of its log:{said}",
        f"see {paths.log}; if its state is damaged, delete {paths.state} (it is only a cache)",
    )


def _free_mb(paths: Paths) -> int:
    return shutil.disk_usage(paths.state).free // 1_000_000
