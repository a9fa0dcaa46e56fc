"""The daemon of the AWS APIs: started once, lives until ``stop``, keeps its state in memory.

``ensure`` starts ``python -m ci.local.aws_apis`` on a port of 127.0.0.1. What is in its state
directory is told in ``ci.local.servers``.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.local import servers
from ci.tools import Tool

PORTS = range(5100, 5200)
NAME = "lambda-image-pipeline local cloud"
"""How the daemon calls itself in ``/_local/health``."""
_MODULES = ("moto", "flask", "samtranslator")
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class LocalCloud:
    """AWS APIs that answer on 127.0.0.1."""

    port: int

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL is here. By name: nested templates' URLs are known by it."""
        return f"http://localhost:{self.port}"


def missing(home: Home) -> list[Tool]:
    """Which Python packages it lacks; ``home`` as in the other servers, it needs nothing there."""
    del home
    return [
        Tool(name, "the local cloud's AWS APIs") for name in _MODULES if find_spec(name) is None
    ]


def status(home: Home) -> LocalCloud | None:
    """The local cloud of this home if it is running; it may still be about to answer."""
    port = servers.running(_state(home))
    return None if port is None else LocalCloud(port)


def ensure(
    home: Home, environ: Mapping[str, str], *, registry_host: str | None = None
) -> LocalCloud:
    """The local cloud of this home, started if it is not running.

    ``registry_host`` is where the account's images really are, such as ``127.0.0.1:5000``: without
    it no image-based function can be made. A running one learns it, too. Raises PipelineError
    where it does not start, InputError where its packages are not installed.
    """
    state = _state(home)

    def command(port: int) -> list[str]:
        if lacking := missing(home):
            names = ", ".join(tool.name for tool in lacking)
            fix = "run `make setup`, or pip install 'lambda-image-pipeline[local]'"
            raise InputError("local cloud", f"needs Python packages: {names}", fix)
        return [sys.executable, "-m", "ci.local.aws_apis", str(port)]

    server = servers.Server(
        name="local cloud",
        state=state,
        ports=PORTS,
        command=command,
        answers=_answers,
        environ=_environment(environ, state),
        taken=b"Address already in use",
        start_seconds=60.0,
    )
    cloud = LocalCloud(servers.ensure(server))
    if registry_host is not None:
        put(cloud, "registry", {"host": registry_host})
    return cloud


def stop(home: Home) -> bool:
    """Ends the local cloud, and with it all that was in it. False if it was not running."""
    return servers.stop(_state(home))


def put(cloud: LocalCloud, what: str, value: Mapping[str, Any]) -> None:
    """Tells the daemon something: ``PUT /_local/<what>``. Raises PipelineError."""
    status, answer = _ask(cloud.port, "PUT", f"/_local/{what}", json.dumps(value))
    if status != 204:
        where = f"local cloud at {cloud.endpoint}"
        what = f"does not take its {what}: {answer.decode(errors='replace') or 'no answer'}"
        raise PipelineError(where, what, "end it (`make stop`) and run again")


def _state(home: Home) -> Path:
    return home.local / "aws-apis"


def _environment(environ: Mapping[str, str], state: Path) -> dict[str, str]:
    """All that the daemon inherits: no credentials, no configuration, no proxies of the user."""
    inherited = {name: environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in environ}
    nothing = str(state / "none")
    return inherited | {
        "PYTHONPATH": str(_ROOT),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "*",
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A bucket is in the path: no host name of this machine holds one.
        "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true",
    }


def _answers(port: int) -> bool:
    status, answer = _ask(port, "GET", "/_local/health")
    try:
        return status == 200 and json.loads(answer)["name"] == NAME
    except (ValueError, KeyError, TypeError):
        return False


def _ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """Status and body of an answer; (0, b"") where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
