"""The local cloud's OCI registry: Debian's docker-registry as a daemon on 127.0.0.1.

It outlives the run, as the build cache does, until ``stop``. Everything it needs or leaves lies in
one directory of the home: blobs, configuration, log, and the port, which stays the same from run to
run because the engine's mirrors name it.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.daemons import Process, locked, replace_text, spawn
from ci.debian import unpack
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.tools import Tool

PROGRAM = "docker-registry"
PORTS = range(5000, 5100)
START_SECONDS = 15.0


@dataclass(frozen=True)
class Registry:
    """A registry that answers, without TLS and without a login; ``host`` is ``127.0.0.1:PORT``."""

    host: str


def missing(home: Home) -> list[Tool]:
    """What ``install`` would install."""
    if (home.bin / PROGRAM).exists():
        return []
    return [Tool(PROGRAM, "holds the images on this machine (5 MB download from Debian)")]


def install(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Make the registry's program available; one that is on PATH is used as it is.

    Raises InputError where neither PATH nor Debian's packages have it.
    """
    if not missing(home):
        return
    home.bin.mkdir(parents=True, exist_ok=True)
    home.local.mkdir(parents=True, exist_ok=True)
    with locked(home.local / "registry-install.lock"):
        if missing(home):
            _install(home, environ, say)


def status(home: Home) -> Registry | None:
    """The registry of this home if it is running; it may still be about to answer."""
    state = _state(home)
    return _registry(state) if Process.read(state / "pid") else None


def ensure(home: Home, environ: Mapping[str, str], port: int | None = None) -> Registry:
    """The registry of this home, started if it is not running.

    It listens on ``port`` if that is free, else on the port of last time, else on the first free
    one of ``PORTS``. A running one is returned whatever its port. Raises PipelineError where it
    does not start or does not answer.
    """
    state = _state(home)
    try:
        (state / "blobs").mkdir(parents=True, exist_ok=True)
        with locked(state / "lock"):
            if process := Process.read(state / "pid"):
                return _await_answer(home, process)
            return _start(home, environ, port)
    except OSError as error:
        raise PipelineError(
            f"local registry in {state}",
            f"cannot write its files: {error.strerror}",
            "free space or fix the permissions there, or set PIPELINE_HOME to another directory",
        ) from error


def stop(home: Home) -> bool:
    """Stop the registry; its images stay on disk. False if it was not running."""
    state = _state(home)
    if not state.is_dir():
        return False
    with locked(state / "lock"):
        process = Process.read(state / "pid")
        if process:
            process.end()
        (state / "pid").unlink(missing_ok=True)
    return process is not None


def _install(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    program = home.bin / PROGRAM
    program.unlink(missing_ok=True)  # a link whose target was uninstalled
    path = environ.get("PATH")
    if found := shutil.which(PROGRAM, path=path) or shutil.which("registry", path=path):
        say(f"{PROGRAM}: using {found}")
    else:
        say(f"{PROGRAM}: unpacking Debian's package into {home.root} (no service is installed)")
        unpacked = home.root / "unpacked" / PROGRAM
        unpack(PROGRAM, unpacked, environ)
        found = str(unpacked / "usr/bin" / PROGRAM)
    program.symlink_to(found)


def _state(home: Home) -> Path:
    return home.local / "registry"


def _registry(state: Path) -> Registry:
    return Registry(f"127.0.0.1:{(state / 'port').read_text()}")


def _start(home: Home, environ: Mapping[str, str], port: int | None) -> Registry:
    state = _state(home)
    if missing(home):
        raise InputError(
            "local registry",
            f"{PROGRAM} is not installed in {home.bin}",
            "run `make setup`, or name a registry with --registry",
        )
    for candidate in _ports(state, port):
        if not _free(candidate):
            continue
        replace_text(state / "port", str(candidate))
        configuration = state / "config.json"  # YAML's subset that needs no quoting of our own
        replace_text(configuration, json.dumps(_configuration(state, candidate)))
        log = state / "log"
        log.write_bytes(b"")
        # It would take REGISTRY_* overrides and proxies from the rest of the environment.
        inherited = {name: environ[name] for name in ("PATH", "TZ") if name in environ}
        process = spawn([str(home.bin / PROGRAM), "serve", str(configuration)], log, inherited)
        if process is None:
            continue
        process.write(state / "pid")
        try:
            return _await_answer(home, process)
        except PipelineError:
            if b"address already in use" not in log.read_bytes():
                raise
    raise PipelineError(
        "local registry",
        f"no port of {PORTS.start} to {PORTS.stop - 1} on 127.0.0.1 is free",
        "end a program that uses one of them, or name a registry with --registry",
    )


def _ports(state: Path, first: int | None) -> Iterator[int]:
    remembered = state / "port"
    if first is not None:
        yield first
    if remembered.exists():
        yield int(remembered.read_text())
    yield from PORTS


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As Go listens; without it, connections of a registry just stopped make a port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


def _configuration(state: Path, port: int) -> dict[str, object]:
    """Source: "Configuring a registry" of the distribution project, version 0.1 of the format."""
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(state / "blobs")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "of no use without a load balancer"},
    }


def _await_answer(home: Home, process: Process) -> Registry:
    state = _state(home)
    registry = _registry(state)
    deadline = time.monotonic() + START_SECONDS
    while process.alive():
        if _answers(registry.host):
            return registry
        if time.monotonic() > deadline:
            raise PipelineError(
                f"local registry at {registry.host} (pid {process.pid})",
                f"runs but has not answered for {START_SECONDS:.0f} s; its log is {state / 'log'}",
                f"end it (`kill {process.pid}`) and run again",
            )
        time.sleep(0.02)
    last_lines = (state / "log").read_text(errors="replace").splitlines()[-3:]
    raise PipelineError(
        f"local registry at {registry.host}",
        "\n".join(["ended while it was starting:", *last_lines]),
        f"mend what it says, or delete {state} to begin anew, and run again",
    )


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/v2/")
        response = connection.getresponse()
        return response.status == 200 and "Docker-Distribution-Api-Version" in response.headers
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
