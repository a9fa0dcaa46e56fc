"""The embedded engine: one session of Dagger's API on top of the BuildKit daemon of this home."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from secrets import token_hex

from ci.engine.api.answers import Answers
from ci.engine.api.execution import GraphQL
from ci.engine.api.logstream import LogStream
from ci.engine.api.nodes import Nodes
from ci.engine.api.server import Server, serving
from ci.engine.api.unserved import known_api
from ci.engine.buildkit import daemon
from ci.engine.buildkit.progress import Printer
from ci.engine.buildkit.rawjson import Event, Listener
from ci.engine.buildkit.redact import Secrets
from ci.engine.buildkit.solve import Buildctl
from ci.engine.graph.context import Contexts
from ci.engine.graph.evaluate import Evaluator
from ci.engine.graph.images import Images
from ci.engine.graph.proxy import Services
from ci.engine.scratch import ScratchSpace
from ci.home import Home

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@asynccontextmanager
async def session(
    home: Home, environ: Mapping[str, str], write: Callable[[str], None]
) -> AsyncIterator[Server]:
    """Serves a session; ``write`` receives progress. Starts the daemon where none runs.

    Raises PipelineError where it cannot start.
    """
    with daemon.using(home, environ) as running:
        scratch = ScratchSpace(home.engine / "sessions")
        services = Services()
        try:
            logs = LogStream(scratch.root / "log.jsonl")
            graphql = _assemble(home, environ, running, scratch, services, logs, Printer(write))
            async with serving(graphql, logs, token_hex(16)) as server:
                yield server
        finally:
            await services.close()
            scratch.close()


def _assemble(
    home: Home,
    environ: Mapping[str, str],
    running: daemon.Daemon,
    scratch: ScratchSpace,
    services: Services,
    logs: LogStream,
    printer: Printer,
) -> GraphQL:
    given = Secrets()
    buildctl = Buildctl(
        home.bin / "buildctl",
        running.address,
        environ,
        given,
        listen=lambda: _Both(printer.listener(), logs.listener()),
        diagnose=lambda said: daemon.diagnose(home, said),
        before=lambda: daemon.ensure(home, environ),
    )
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    contexts = Contexts(scratch)
    evaluator = Evaluator(
        buildctl, Images(buildctl, scratch), contexts, services, home.bin / "shim",
        f"linux/{machine}",
    )  # fmt: skip
    answers = Answers(buildctl, evaluator, scratch)
    contexts.export = answers.export
    return GraphQL(answers, Nodes(), given, version(), known_api(home.engine))


def version() -> str:
    """The version of Dagger's API that is spoken: that of the installed SDK."""
    return f"v{metadata.version('dagger-io')}"


class _Both:
    """A listener that tells the terminal and the log stream."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
