"""What the local cloud's servers have in common: a daemon on a port of 127.0.0.1.

It outlives the run until ``stop``. Everything that it needs or leaves lies in one directory: pid,
log, lock, and the port, which stays the same from run to run.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.daemons import Process, locked, replace_text, spawn
from ci.errors import PipelineError


@dataclass(frozen=True)
class Server:
    """A kind of server, in one home.

    ``command`` is what serves a port, ``answers`` whether it is this server that answers there.
    ``environ`` is all that it inherits. ``taken`` is how its log says that a port is not free,
    ``otherwise`` what a user can do where none is.
    """

    name: str
    state: Path
    ports: range
    command: Callable[[int], Sequence[str]]
    answers: Callable[[int], bool]
    environ: Mapping[str, str]
    taken: bytes = b"address already in use"
    otherwise: str = "end a program that uses one of them"
    start_seconds: float = 15.0


def running(state: Path) -> int | None:
    """The port of the server that lives in ``state``; it may still be about to answer."""
    return _port(state) if Process.read(state / "pid") else None


def ensure(server: Server, port: int | None = None) -> int:
    """The port of the server, started if it is not running.

    It listens on ``port`` if that is free, else on the port of last time, else on the first free
    one of its ports. A running one is returned whatever its port. Raises PipelineError where it
    does not start or does not answer.
    """
    state = server.state
    try:
        state.mkdir(parents=True, exist_ok=True)
        with locked(state / "lock"):
            if process := Process.read(state / "pid"):
                return _await_answer(server, process)
            return _start(server, port)
    except OSError as error:
        raise PipelineError(
            f"{server.name} in {state}",
            f"cannot write its files: {error.strerror}",
            "free space or fix the permissions there, or set PIPELINE_HOME to another directory",
        ) from error


def stop(state: Path) -> bool:
    """Stop the server that lives in ``state``. False if it was not running."""
    if not state.is_dir():
        return False
    with locked(state / "lock"):
        process = Process.read(state / "pid")
        if process:
            process.end()
        (state / "pid").unlink(missing_ok=True)
    return process is not None


def _port(state: Path) -> int:
    return int((state / "port").read_text())


def _start(server: Server, port: int | None) -> int:
    state = server.state
    for candidate in _candidates(server, port):
        if not _free(candidate):
            continue
        replace_text(state / "port", str(candidate))
        log = state / "log"
        log.write_bytes(b"")
        process = spawn(server.command(candidate), log, server.environ)
        if process is None:
            continue
        process.write(state / "pid")
        try:
            return _await_answer(server, process)
        except PipelineError:
            if server.taken not in log.read_bytes():
                raise
    raise PipelineError(
        server.name,
        f"no port of {server.ports.start} to {server.ports.stop - 1} on 127.0.0.1 is free",
        server.otherwise,
    )


def _candidates(server: Server, first: int | None) -> Iterator[int]:
    remembered = server.state / "port"
    if first is not None:
        yield first
    if remembered.exists():
        yield int(remembered.read_text())
    yield from server.ports


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers listen; without it, connections of one just stopped make a port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


def _listens(pid: int, port: int) -> bool:
    """Whether a process is the one that listens on a port of 127.0.0.1.

    Source: proc(5), ``/proc/net/tcp`` and ``/proc/PID/fd``.
    """
    address = f"0100007F:{port:04X}"  # little-endian, as on every Linux that we run on
    listening = "0A"
    sockets = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == address and fields[3] == listening:
            sockets.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):  # it may end, or close a file, while we look
        return any(str(each.readlink()) in sockets for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _await_answer(server: Server, process: Process) -> int:
    port = _port(server.state)
    where = f"{server.name} at 127.0.0.1:{port}"
    log = server.state / "log"
    deadline = time.monotonic() + server.start_seconds
    while process.alive():
        # Somebody else may have taken the port a moment ago, and answer in the same words.
        if server.answers(port) and _listens(process.pid, port):
            return port
        if time.monotonic() > deadline:
            raise PipelineError(
                f"{where} (pid {process.pid})",
                f"runs but has not answered for {server.start_seconds:.0f} s; its log is {log}",
                f"end it (`kill {process.pid}`) and run again",
            )
        time.sleep(0.02)
    last_lines = log.read_text(errors="replace").splitlines()[-3:]
    raise PipelineError(
        where,
        "\n".join(["ended while it was starting:", *last_lines]),
        f"mend what it says, or delete {server.state} to begin anew, and run again",
    )
