"""The local cloud's OCI registry: Debian's docker-registry as a daemon on 127.0.0.1.

It outlives the run, as the build cache does, until ``stop``. Everything it needs or leaves lies in
one directory of the home: blobs, configuration, log, and the port, which stays the same from run to
run because the engine's mirrors name it.
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.daemons import locked, replace_text
from ci.debian import unpack
from ci.errors import InputError
from ci.home import Home
from ci.local import servers
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
    port = servers.running(_state(home))
    return None if port is None else _registry(port)


def ensure(home: Home, environ: Mapping[str, str], port: int | None = None) -> Registry:
    """The registry of this home, started if it is not running.

    It listens on ``port`` if that is free, else on the port of last time, else on the first free
    one of ``PORTS``. A running one is returned whatever its port. Raises PipelineError where it
    does not start or does not answer.
    """
    state = _state(home)

    def command(candidate: int) -> list[str]:
        if missing(home):
            raise InputError(
                "local registry",
                f"{PROGRAM} is not installed in {home.bin}",
                "run `make setup`, or name a registry with --registry",
            )
        (state / "blobs").mkdir(exist_ok=True)
        configuration = state / "config.json"  # YAML's subset that needs no quoting of our own
        replace_text(configuration, json.dumps(_configuration(state, candidate)))
        return [str(home.bin / PROGRAM), "serve", str(configuration)]

    # It would take REGISTRY_* overrides and proxies from the rest of the environment.
    inherited = {name: environ[name] for name in ("PATH", "TZ") if name in environ}
    server = servers.Server(
        name="local registry",
        state=state,
        ports=PORTS,
        command=command,
        answers=lambda candidate: _answers(_registry(candidate).host),
        environ=inherited,
        otherwise="end a program that uses one of them, or name a registry with --registry",
        start_seconds=START_SECONDS,
    )
    return _registry(servers.ensure(server, port))


def stop(home: Home) -> bool:
    """Stop the registry; its images stay on disk. False if it was not running."""
    return servers.stop(_state(home))


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


def _registry(port: int) -> Registry:
    return Registry(f"127.0.0.1:{port}")


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
