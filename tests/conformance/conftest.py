"""One suite, two engines: what a test says here holds on both.

The embedded engine is always tested; a real one when a ``dagger`` CLI on PATH reaches it.
"""

import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dagger
import pytest
from dagger import dag

from ci.debian import unpack
from ci.engine.session import Session, open_session
from ci.errors import PipelineError
from ci.home import Home
from ci.local import registry

APPLETS = ["sh", "cat", "echo", "env", "ls", "mkdir", "sleep", "test", "id", "pwd", "wget",
           "printf", "tr", "seq", "stat", "true", "false", "kill", "hostname", "rm", "head",
           "nc", "wc", "grep", "yes", "find", "touch", "date", "sed"]  # fmt: skip


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def home() -> Home:
    return Home.from_environ(os.environ)


@pytest.fixture(scope="session")
def registry_host(home: Home) -> str:
    registry.install(home, os.environ, print)
    return registry.ensure(home, os.environ).host


@pytest.fixture(
    scope="module", params=["embedded", pytest.param("dagger", marks=pytest.mark.dagger)]
)
async def engine(
    request: pytest.FixtureRequest, anyio_backend: str, home: Home
) -> AsyncIterator[Session]:
    """A connected session; a test's ``dag`` goes to it.

    One a module, not one for all: while it lasts, no other test can have an engine that is
    configured otherwise.
    """
    kind = request.param
    if kind == "dagger" and not shutil.which("dagger"):
        pytest.skip("no dagger CLI on PATH")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DAGGER_SESSION_")}
    try:
        async with (
            open_session(kind, home, environ, progress=sys.stderr) as session,
            dagger.connection(),
        ):
            yield session
    except PipelineError as error:
        if kind == "embedded":
            raise
        pytest.skip(f"the dagger CLI on PATH reaches no engine: {error}")


@pytest.fixture(scope="session")
def busybox(home: Home) -> Path:
    """A root filesystem of one static program: a shell and small tools, nothing to pull."""
    root = home.root / "test-busybox"
    if not (root / "bin" / "sed").exists():
        shutil.rmtree(root, ignore_errors=True)
        unpack("busybox-static", root / "unpacked", os.environ)
        (root / "bin").mkdir()
        shutil.copy2(next((root / "unpacked").glob("**/bin/busybox")), root / "bin" / "busybox")
        shutil.rmtree(root / "unpacked")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc").mkdir()
        (root / "etc" / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n"
        )
        (root / "etc" / "group").write_text("root:x:0:\nguest:x:1000:\n")
        (root / "tmp").mkdir(mode=0o1777)
    return root


@pytest.fixture
def base(engine: Session, busybox: Path) -> dagger.Container:
    """A container with a shell."""
    return dag.container().with_rootfs(dag.host().directory(str(busybox)))


@pytest.fixture
def unique() -> str:
    """A text that no cache has seen."""
    return uuid.uuid4().hex


@pytest.fixture
async def image(base: dagger.Container, registry_host: str, engine: Session) -> str:
    """The address of a small image in the local registry, with a configuration worth reading."""
    address = f"{registry_host}/conformance/base-{engine.kind}:1"
    await (
        base.with_env_variable("PATH", "/bin")
        .with_env_variable("GREETING", "hello")
        .with_workdir("/srv")
        .with_entrypoint(["/bin/echo"])
        .with_default_args(["from", "the", "image"])
        .with_label("org.example.kind", "test")
        .publish(address)
    )
    return address


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., str]:
    """Writes a directory of files and returns its path: ``context(Dockerfile="FROM …")``."""

    def write(files: dict[str, str] | None = None, **named: str) -> str:
        directory = tmp_path / uuid.uuid4().hex
        for name, text in {**(files or {}), **named}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(directory)

    return write
