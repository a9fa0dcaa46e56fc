"""Real containers, registries and daemons, on what set-up installed for this user."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import dagger
import pytest

from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.engine.session import Session, open_session
from ci.home import Home
from ci.local import registry, standin
from ci.local.registry import Registry


@pytest.fixture(scope="session")
def user_home() -> Home:
    """The home that set-up filled."""
    return Home.from_environ(os.environ)


@pytest.fixture
def home(user_home: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the installed programs in it."""
    registry.install(user_home, os.environ, print)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bin").symlink_to(user_home.bin)
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def local_registry(user_home: Home) -> Registry:
    """The user's local registry, as `make run` leaves it running."""
    registry.install(user_home, os.environ, print)
    return registry.ensure(user_home, os.environ)


@pytest.fixture(scope="session")
async def session(
    anyio_backend: str, user_home: Home, local_registry: Registry
) -> AsyncIterator[Session]:
    """A connected session, for which the local registry stands in for AWS's public one."""
    mirrors = () if await standin.upstream_reachable(os.environ) else (_mirror(local_registry),)
    config = DaemonConfig(mirrors=mirrors)
    async with (
        open_session("auto", user_home, os.environ, progress=sys.stderr, config=config) as found,
        dagger.connection(),
    ):
        yield found


@pytest.fixture(scope="session")
async def base_image(session: Session, user_home: Home, local_registry: Registry) -> str:
    """The name that every function's Dockerfile starts FROM, and that can be pulled."""
    if not await standin.upstream_reachable(os.environ):
        standin.install(user_home, os.environ, print)
        await standin.publish(user_home, local_registry)
    return f"{standin.UPSTREAM}/{standin.REPOSITORY}:{standin.TAG}"


@pytest.fixture
def moto_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server of AWS's APIs on 127.0.0.1, to which boto3 in this process goes, too."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Without the variable, moto takes the first word of a dotted host name for a bucket.
    environ = {**os.environ, "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            for name, value in {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }.items():
                monkeypatch.setenv(name, value)
            yield port
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "moto does not start"
            time.sleep(0.05)
        else:
            return


def _mirror(local_registry: Registry) -> tuple[str, str]:
    return standin.UPSTREAM, local_registry.host
