"""The embedded engine's BuildKit daemon: started on demand, shared by runs, stopped on request.

Everything of it lies in one directory of the home that only its user may enter. It survives the
run, so that the build cache is warm for the next one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ci.daemons import Process, replace_text, spawn
from ci.engine import procfs
from ci.engine.daemon_config import (
    DaemonConfig,
    Paths,
    authorities,
    environment,
    fingerprint,
    render,
)
from ci.errors import InputError, PipelineError
from ci.home import Home

START_SECONDS = 60.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 10.0
LOW_SPACE_MB = 500
_LOG_BYTES = 16_000_000
_SOCKET_PATH_BYTES = 107  # sun_path less its final NUL, unix(7)


@dataclass(frozen=True)
class Daemon:
    """A BuildKit daemon that answers."""

    address: str
    """``unix://…``, as ``BUILDKIT_HOST`` takes it."""
    pid: int
    version: str


@dataclass(frozen=True)
class Status(Daemon):
    """What ``engine status`` shows."""

    config: DaemonConfig
    users: tuple[str, ...]
    """The processes that hold the daemon, as ``pid 12 (python main.py)``."""
    cache_mb: int
    """Size of the build cache in megabytes (10**6 bytes)."""
    snapshotter: str
    log: Path


@dataclass(frozen=True)
class _Record:
    """What the one who started the daemon wrote down for those who come later."""

    process: Process
    version: str
    config: DaemonConfig
    surroundings: str

    def write(self, file: Path) -> None:
        replace_text(file, json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> _Record | None:
        try:
            data = json.loads(file.read_text())
            return cls(
                Process(**data["process"]),
                data["version"],
                DaemonConfig.from_json(data["config"]),
                data["surroundings"],
            )
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None


def ensure(home: Home, environ: Mapping[str, str], config: DaemonConfig | None = None) -> Daemon:
    """The daemon of this home, started if it is not running.

    ``config`` None means the configuration last used, else the default. A daemon that runs with
    another one is restarted, unless somebody holds it: then ``InputError``. New proxies or
    certificate authorities in ``environ`` restart it only while nobody holds it. ``InputError``
    names a missing prerequisite; ``PipelineError`` says why the daemon does not start.
    """
    paths = _paths(home)
    _check_prerequisites(home, paths)
    with _one_at_a_time(paths):
        return _ensure(home, paths, environ, config)


@contextlib.contextmanager
def using(
    home: Home, environ: Mapping[str, str], config: DaemonConfig | None = None
) -> Iterator[Daemon]:
    """``ensure`` and ``hold`` in one step, so that nobody restarts the daemon in between."""
    paths = _paths(home)
    _check_prerequisites(home, paths)
    with contextlib.ExitStack() as held:
        with _one_at_a_time(paths):
            daemon = _ensure(home, paths, environ, config)
            held.enter_context(_hold(paths))
        yield daemon


@contextlib.contextmanager
def hold(home: Home) -> Iterator[None]:
    """Says that a session uses the daemon; the claim ends with the block or with the process."""
    paths = _paths(home)
    _make_private(paths.state)
    with contextlib.ExitStack() as held:
        with _one_at_a_time(paths):
            held.enter_context(_hold(paths))
        yield


def status(home: Home) -> Status | None:
    """The daemon of this home, its users and its disk use; None if none runs and answers."""
    paths = _paths(home)
    record = _Record.read(paths.record)
    if not record or not record.process.alive() or not _answers(paths, 2.0):
        return None
    workers = json.loads(_buildctl(home, paths, "debug", "workers", "--format", "{{json .}}"))
    usage = json.loads(_buildctl(home, paths, "du", "--format", "{{json .}}"))
    return Status(
        address=f"unix://{paths.socket}",
        pid=record.process.pid,
        version=record.version,
        config=record.config,
        users=tuple(procfs.describe(pid) for pid in procfs.lock_holders(paths.use_lock)),
        cache_mb=sum(item.get("Size", item.get("size", 0)) for item in usage or ()) // 1_000_000,
        snapshotter=workers[0]["labels"]["org.mobyproject.buildkit.worker.snapshotter"],
        log=paths.log,
    )


def stop(home: Home, *, force: bool = False) -> bool:
    """Stops the daemon and returns when it is gone; its cache stays. False if none was running.

    ``PipelineError`` if somebody uses it and ``force`` is not given.
    """
    paths = _paths(home)
    if not paths.state.is_dir():
        return False
    with _one_at_a_time(paths):
        processes = _processes(paths)
        if processes and not force and (users := _other_users(paths)):
            raise PipelineError(
                "embedded engine",
                f"is being used by {', '.join(users)}",
                "wait until that run has ended, or end it, and stop the engine then",
            )
        _end(home, paths, processes)
        return bool(processes)


def _paths(home: Home) -> Paths:
    return Paths(home.engine)


# --- start ---------------------------------------------------------------------------------------


def _ensure(
    home: Home, paths: Paths, environ: Mapping[str, str], config: DaemonConfig | None
) -> Daemon:
    record = _Record.read(paths.record)
    wanted = config or (record.config if record else DaemonConfig())
    toml = render(wanted, paths, home.bin / "runc")
    pem = authorities(wanted, environ)
    env = environment(wanted, paths, home.bin, environ)
    surroundings = fingerprint(env, pem)
    processes = _processes(paths)
    if record and record.process in processes and _answers(paths, ANSWER_SECONDS):
        same = record.config == wanted
        if (same and record.surroundings == surroundings) or (same and _other_users(paths)):
            return _opened(paths, record)
        if users := _other_users(paths):
            raise InputError(
                "embedded engine",
                f"runs with other mirrors, certificates or limits, and is used by "
                f"{', '.join(users)}",
                "wait until that run has ended, or give this run the same settings",
            )
    elif processes and (users := _other_users(paths)):
        raise PipelineError(
            f"embedded engine ({procfs.describe(processes[0].pid)})",
            f"does not answer, and is used by {', '.join(users)}",
            f"end those runs and try again; the engine's log is {paths.log}",
        )
    _end(home, paths, processes)
    _check_space(paths)
    _check_root_is_free(paths)
    with _writing(paths):
        paths.temporary.mkdir(exist_ok=True)
        paths.authorities.write_bytes(pem)
        replace_text(paths.toml, toml)
        if paths.log.exists():
            paths.log.replace(paths.log.with_suffix(".log.1"))
        version = _version(home)
        argv = [str(home.bin / "buildkitd"), f"--config={paths.toml}"]
        process = spawn(argv, paths.log, env)
        if process is None:
            raise _failed_start(paths)
        record = _Record(process, version, wanted, surroundings)
        record.write(paths.record)
    if not _answers(paths, START_SECONDS, process):
        alive = process.alive()
        _end(home, paths, [process])
        raise _failed_start(paths, f"did not answer for {START_SECONDS:.0f} s" if alive else "")
    return _opened(paths, record)


def _opened(paths: Paths, record: _Record) -> Daemon:
    paths.socket.chmod(0o600)  # BuildKit makes it 0660
    if paths.log.stat().st_size > _LOG_BYTES:
        os.truncate(paths.log, 0)  # the daemon appends, so it goes on at the new end
    return Daemon(f"unix://{paths.socket}", record.process.pid, record.version)


def _version(home: Home) -> str:
    words = subprocess.run(
        [home.bin / "buildkitd", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return words[2]  # "buildkitd github.com/moby/buildkit v0.34.2 <revision>"


def _answers(paths: Paths, seconds: float, process: Process | None = None) -> bool:
    """Whether a gRPC server answers at the socket within that time.

    An accepted connection alone proves nothing: BuildKit listens long before it serves, and the
    kernel accepts for a daemon that hangs. An HTTP/2 server sends its SETTINGS frame (type 4)
    first (RFC 9113, section 3.4).
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if process and not process.alive():
            return False
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(min(left, 2.0))
            connection.connect(str(paths.socket))
            connection.sendall(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0]) + bytes(4)
            )
            if connection.recv(9)[3:4] == b"\x04":
                return True
        if not process:  # a daemon that has been running is given time, but not to come up
            process_gone = not paths.socket.exists()
            if process_gone:
                return False
        time.sleep(0.02)
    return False


def _failed_start(paths: Paths, what: str = "") -> PipelineError:
    text = paths.log.read_text(errors="replace") if paths.log.exists() else ""
    if "no space left on device" in text:
        return _full_disk(paths)
    lines = [line.strip() for line in text.splitlines() if not line.startswith(("\t", "main."))]
    said = "".join(f"\n    {line}" for line in lines[-8:])
    return PipelineError(
        "embedded engine",
        f"BuildKit's daemon {what or 'ended while it was starting'}; the end of its log:{said}",
        f"see {paths.log}; if its state is damaged, delete {paths.state} (it is only a cache)",
    )


# --- what has to be true before ------------------------------------------------------------------


def _check_prerequisites(home: Home, paths: Paths) -> None:
    where = "embedded engine"
    if sys.platform != "linux":
        raise InputError(
            where, "BuildKit's daemon runs on Linux only", "use a Dagger engine: --engine dagger"
        )
    if len(os.fsencode(paths.socket)) > _SOCKET_PATH_BYTES:
        raise InputError(
            where,
            f"the path of its socket is longer than {_SOCKET_PATH_BYTES} bytes: {paths.socket}",
            "set PIPELINE_HOME to a shorter directory",
        )
    if os.geteuid() != 0:
        raise InputError(
            where,
            "BuildKit's daemon needs root to make containers",
            "run as root (sudo -E), or use a Dagger engine: --engine dagger",
        )
    if not procfs.may_mount():
        raise InputError(
            where,
            "root may not mount file systems here (no CAP_SYS_ADMIN)",
            "run this container privileged, or use a Dagger engine: --engine dagger",
        )
    absent = [name for name in ("buildkitd", "buildctl", "runc") if not (home.bin / name).exists()]
    if absent:
        raise InputError(
            where,
            f"{', '.join(absent)} not installed in {home.bin}",
            "run `make setup`, or use a Dagger engine: --engine dagger",
        )
    _make_private(paths.state)


def _make_private(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user")
        state.chmod(0o700)
        with (state / "start.lock").open("a"):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full_disk(Paths(state)) from error
        raise InputError(
            f"state of the embedded engine in {state}",
            f"cannot be written: {error.strerror}",
            "make it writable for this user, or set PIPELINE_HOME to another directory",
        ) from error


def _check_space(paths: Paths) -> None:
    if shutil.disk_usage(paths.state).free < LOW_SPACE_MB * 1_000_000:
        raise _full_disk(paths)


def _full_disk(paths: Paths) -> PipelineError:
    free = shutil.disk_usage(paths.state).free // 1_000_000
    return PipelineError(
        f"state of the embedded engine in {paths.state}",
        f"the disk is full ({free} MB free)",
        f"make {LOW_SPACE_MB} MB or more free, delete {paths.root} (it is only a cache), "
        "or set PIPELINE_HOME to a directory on another disk",
    )


def _check_root_is_free(paths: Paths) -> None:
    lock = paths.root / "buildkitd.lock"
    if not lock.exists():
        return
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owners = ", ".join(map(procfs.describe, procfs.lock_holders(lock)))
            raise PipelineError(
                f"embedded engine's cache {paths.root}",
                f"is in use by another BuildKit daemon, {owners or 'of another container'}",
                "stop that one, or set PIPELINE_HOME to another directory",
            ) from None


@contextlib.contextmanager
def _writing(paths: Paths) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full_disk(paths) from error
        raise


# --- end -----------------------------------------------------------------------------------------


def _processes(paths: Paths) -> list[Process]:
    """Our daemons, recorded or not: one whose starter was killed half-way is not."""
    record = _Record.read(paths.record)
    if record and record.process.alive():
        return [record.process]
    return procfs.find_by_argument(f"--config={paths.toml}")


def _end(home: Home, paths: Paths, processes: list[Process]) -> None:
    """Ends the daemons and what a killed one leaves: containers, mounts, the socket."""
    for process in processes:
        process.end(STOP_SECONDS)
        if process.alive():
            raise PipelineError(
                f"embedded engine (pid {process.pid})",
                "does not end, not even by SIGKILL",
                "look for a hanging disk or network mount; restart the machine if need be",
            )
    for bundle in paths.root.glob("runc-*/executor/*/config.json"):
        runc = [home.bin / "runc", "delete", "--force", bundle.parent.name]
        subprocess.run(runc, capture_output=True, check=False)  # it may have ended by itself
    for point in procfs.mounts_below(paths.state):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    for bundle in paths.root.glob("runc-*/executor/*/config.json"):
        shutil.rmtree(bundle.parent, ignore_errors=True)
    shutil.rmtree(paths.temporary, ignore_errors=True)
    paths.socket.unlink(missing_ok=True)


def _buildctl(home: Home, paths: Paths, *arguments: str) -> str:
    command = [str(home.bin / "buildctl"), "--addr", f"unix://{paths.socket}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise PipelineError(
            "embedded engine",
            f"{' '.join(arguments[:2])} failed: {done.stderr.strip()}",
            f"see {paths.log}",
        )
    return done.stdout


# --- who uses it ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    with paths.start_lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _hold(paths: Paths) -> Iterator[None]:
    with paths.use_lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def _other_users(paths: Paths) -> list[str]:
    """Who holds the daemon besides this process."""
    if not paths.use_lock.exists():
        return []
    with paths.use_lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pids = procfs.lock_holders(paths.use_lock)
            return [procfs.describe(pid) for pid in pids if pid != os.getpid()] or (
                [] if pids else ["a process of another container"]
            )
    return []
