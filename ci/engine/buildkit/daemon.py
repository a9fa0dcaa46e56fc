"""The embedded engine's BuildKit daemon: started on demand, shared by runs, stopped on request.

Everything of it lies in one directory of the home that only its user may enter. It survives the
run, so that the build cache is warm for the next one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ci.daemons import Process, replace_text, spawn
from ci.engine.buildkit import daemon_checks as checks
from ci.engine.buildkit import daemon_users as users
from ci.engine.buildkit import procfs
from ci.engine.buildkit.daemon_config import (
    DaemonConfig,
    Paths,
    authorities,
    environment,
    fingerprint,
    render,
)
from ci.errors import InputError, PipelineError
from ci.home import Home

__all__ = [
    "Daemon",
    "DaemonConfig",
    "Status",
    "diagnose",
    "ensure",
    "hold",
    "status",
    "stop",
    "using",
]

START_SECONDS = 60.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 10.0
_LOG_BYTES = 16_000_000


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
    another one is restarted, unless another process holds it: then it is shared where it serves
    ``config`` too, else ``InputError``. New proxies or
    certificate authorities in ``environ`` restart it only while nobody holds it. ``InputError``
    names a missing prerequisite; ``PipelineError`` says why the daemon does not start.
    """
    paths = _ready(home)
    with users.starting_or_stopping(paths):
        return _ensure(home, paths, environ, config)


@contextlib.contextmanager
def using(
    home: Home, environ: Mapping[str, str], config: DaemonConfig | None = None
) -> Iterator[Daemon]:
    """``ensure`` and ``hold`` in one step, so that nobody restarts the daemon in between."""
    paths = _ready(home)
    with contextlib.ExitStack() as held:
        with users.starting_or_stopping(paths):
            daemon = _ensure(home, paths, environ, config)
            held.enter_context(users.holding(paths))
        yield daemon


@contextlib.contextmanager
def hold(home: Home) -> Iterator[None]:
    """Says that a session uses the daemon; the claim ends with the block or with the process."""
    paths = Paths.of(home.engine)
    checks.make_private(paths)
    with contextlib.ExitStack() as held:
        with users.starting_or_stopping(paths):
            held.enter_context(users.holding(paths))
        yield


def status(home: Home) -> Status | None:
    """The daemon of this home, its users and its disk use; None if none runs and answers."""
    paths = Paths.of(home.engine)
    record = _Record.read(paths.record)
    if not record or not _answers(paths, record.process, 2.0):
        return None
    workers = _buildctl(home, paths, "debug", "workers", "--format", "{{json .}}")
    usage = _buildctl(home, paths, "du", "--format", "{{json .}}")
    return Status(
        address=f"unix://{paths.socket}",
        pid=record.process.pid,
        version=record.version,
        config=record.config,
        users=tuple(users.everybody(paths)),
        cache_mb=sum(item["size"] for item in usage) // 1_000_000,
        snapshotter=workers[0]["labels"]["org.mobyproject.buildkit.worker.snapshotter"],
        log=paths.log,
    )


def stop(home: Home, *, force: bool = False) -> bool:
    """Stops the daemon and returns when it is gone; its cache stays. False if none was running.

    ``PipelineError`` if another process holds it and ``force`` is not given.
    """
    paths = Paths.of(home.engine)
    if not paths.state.is_dir():
        return False
    with users.starting_or_stopping(paths):
        processes = _processes(paths)
        if processes and not force and (others := users.others(paths)):
            raise PipelineError(
                checks.WHERE,
                f"is being used by {', '.join(others)}",
                "wait until that run has ended, or end it, and stop the engine then",
            )
        _end(home, paths, processes)
        return bool(processes)


def diagnose(home: Home, said: str = "") -> PipelineError | None:
    """What is wrong with the engine itself after a build failed with the words ``said``.

    None where the failure is the build's own.
    """
    paths = Paths.of(home.engine)
    if checks.says_full_disk(said):
        return checks.full_disk(paths)
    record = _Record.read(paths.record)
    if record and record.process.alive():
        return None
    return checks.ended(paths, "BuildKit's daemon died in the middle of the work")


def _ready(home: Home) -> Paths:
    paths = Paths.of(home.engine)
    checks.check_machine(home, paths)
    checks.make_private(paths)
    return paths


def _ensure(
    home: Home, paths: Paths, environ: Mapping[str, str], config: DaemonConfig | None
) -> Daemon:
    record = _Record.read(paths.record)
    wanted = config or (record.config if record else DaemonConfig())
    surroundings = fingerprint(
        environment(wanted, paths, home.bin, environ), authorities(wanted, environ)
    )
    processes = _processes(paths)
    others = users.others(paths) if processes else []
    if record and record.process in processes and _answers(paths, record.process, ANSWER_SECONDS):
        same = record.config == wanted and record.surroundings == surroundings
        if same or (others and record.config.serves(wanted)):
            return _opened(paths, record)
        if others:
            raise InputError(
                checks.WHERE,
                f"runs with other mirrors, authorities or limits for {', '.join(others)}",
                "wait until that run has ended, or give this run the same settings",
            )
    elif others:
        raise PipelineError(
            f"{checks.WHERE} ({procfs.describe(processes[0].pid)})",
            f"does not answer, and is used by {', '.join(others)}",
            f"end those runs and try again; the engine's log is {paths.log}",
        )
    _end(home, paths, processes)
    checks.check_state(paths)
    try:
        record = _start(home, paths, environ, wanted, surroundings)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise checks.full_disk(paths) from error
        raise
    if _answers(paths, record.process, START_SECONDS):
        return _opened(paths, record)
    silent = record.process.alive()
    _end(home, paths, [record.process])
    how = (
        f"did not answer within {START_SECONDS:.0f} s" if silent else "ended while it was starting"
    )
    raise checks.ended(paths, f"BuildKit's daemon {how}")


def _start(
    home: Home,
    paths: Paths,
    environ: Mapping[str, str],
    config: DaemonConfig,
    surroundings: str,
) -> _Record:
    toml = render(config, paths, home.bin / "runc")
    paths.temporary.mkdir(exist_ok=True)
    paths.authorities.write_bytes(authorities(config, environ))
    replace_text(paths.toml, toml)
    if paths.log.exists():
        paths.log.replace(paths.log.with_suffix(".log.1"))
    env = environment(config, paths, home.bin, environ)
    program = str(home.bin / "buildkitd")
    # "buildkitd github.com/moby/buildkit v0.34.2 <revision>"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    process = spawn([program, f"--config={paths.toml}"], paths.log, env)
    if process is None:
        raise checks.ended(paths, "BuildKit's daemon ended at once")
    record = _Record(process, version.stdout.split()[2], config, surroundings)
    record.write(paths.record)
    return record


def _answers(paths: Paths, process: Process, seconds: float) -> bool:
    """Whether a gRPC server answers at the socket within that time, while the process lives.

    An accepted connection alone proves nothing: BuildKit listens before it can serve, and the
    kernel accepts for a daemon that hangs. An HTTP/2 server's first words are a SETTINGS frame
    (RFC 9113, section 3.4: type 4, the fourth byte).
    """
    deadline = time.monotonic() + seconds
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    while (left := deadline - time.monotonic()) > 0 and process.alive():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(min(left, 2.0))
            connection.connect(str(paths.socket))
            connection.sendall(preface)
            if connection.recv(9)[3:4] == b"\x04":
                return True
        time.sleep(0.02)
    return False


def _opened(paths: Paths, record: _Record) -> Daemon:
    paths.socket.chmod(0o600)  # BuildKit makes it 0660
    if paths.log.stat().st_size > _LOG_BYTES:
        os.truncate(paths.log, 0)  # the daemon appends, so it goes on at the new end
    return Daemon(f"unix://{paths.socket}", record.process.pid, record.version)


def _processes(paths: Paths) -> list[Process]:
    """Our daemons, recorded or not: one whose starter was killed half-way is not."""
    record = _Record.read(paths.record)
    if record and record.process.alive():
        return [record.process]
    return procfs.find_by_argument(f"--config={paths.toml}")


def _end(home: Home, paths: Paths, processes: list[Process]) -> None:
    """Ends the daemons, and what a killed one leaves: containers, mounts, files, the socket."""
    for process in processes:
        process.end(STOP_SECONDS)
        if process.alive():
            raise PipelineError(
                f"{checks.WHERE} (pid {process.pid})",
                "does not end, not even by SIGKILL",
                "look for a hanging disk or network mount; restart the machine if need be",
            )
    bundles = [file.parent for file in paths.root.glob("runc-*/executor/*/config.json")]
    for bundle in bundles:
        runc = [str(home.bin / "runc"), "delete", "--force", bundle.name]
        subprocess.run(runc, capture_output=True, check=False)  # it may have ended by itself
    for point in _mounts(paths):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    if not _mounts(paths):  # else what would be deleted is the cache, through its mounts
        for leftover in (*bundles, paths.temporary):
            shutil.rmtree(leftover, ignore_errors=True)
    paths.socket.unlink(missing_ok=True)


def _mounts(paths: Paths) -> list[str]:
    return [*procfs.mounts_below(paths.root), *procfs.mounts_below(paths.temporary)]


def _buildctl(home: Home, paths: Paths, *arguments: str) -> list[dict[str, Any]]:
    command = [str(home.bin / "buildctl"), "--addr", f"unix://{paths.socket}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise PipelineError(
            checks.WHERE,
            f"`buildctl {' '.join(arguments[:2])}` failed: {done.stderr.strip()}",
            f"see {paths.log}",
        )
    return json.loads(done.stdout) or []
