"""Functions at work while a command lasts: on this machine our host runs them, on AWS Lambda."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from ci.cloud import Cloud
from ci.home import Home
from ci.settings import Settings

if TYPE_CHECKING:
    from ci.local.lambdas.host import Host


@asynccontextmanager
async def going_on(
    cloud: Cloud,
    settings: Settings,
    home: Home,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> AsyncIterator[Host | None]:
    """The functions of ``cloud`` run inside; the host that runs them, None on AWS.

    Finds an engine of its own. Raises InputError where there is none, PipelineError.
    """
    if cloud.port is None:
        yield None
        return
    from ci.building.session_reach import reaching_session
    from ci.engine.buildkit.daemon_config import DaemonConfig
    from ci.engine.connection import connected
    from ci.local import registry

    images = settings.registry or registry.ensure(home, environ).host
    ca_bundle = str(settings.ca_bundle.absolute()) if settings.ca_bundle else None
    config = DaemonConfig(mirrors=settings.mirrors, ca_bundle=ca_bundle)
    async with reaching_session(
        settings.engine, home, environ, None, config, pushes=images, mirror=None
    ) as session:
        say(f"engine: {session.how}, Dagger API {session.version}")
        async with (
            connected(),
            here(cloud, images, home, environ, settings.report, say) as host,
        ):
            yield host


@asynccontextmanager
async def here(
    cloud: Cloud,
    images: str,
    home: Home,
    environ: Mapping[str, str],
    out: Path,
    say: Callable[[str], None],
) -> AsyncIterator[Host]:
    """The same in a Dagger connection that is there. ``images`` is the registry's host."""
    from ci.local.lambdas import observer
    from ci.local.lambdas.host import hosting

    await to_thread.run_sync(observer.install, home, environ, say)
    async with hosting(cloud, images, observer.directory(home), out) as host:
        say(f"functions: their logs are in {out / 'lambda'}")
        yield host
