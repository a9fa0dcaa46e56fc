"""The engine of a rehearsal: found once, held to its end, and used by all of its builds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Protocol

from ci.building import run as building
from ci.building.session_reach import reaching_session
from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.engine.connection import connected
from ci.engine.session import Session
from ci.home import Home
from ci.local import standin
from ci.local.registry import Registry
from ci.planning.plan import Plan


class Listener(Protocol):
    """Who hears remarks."""

    def say(self, text: str) -> None:
        """A remark."""


@dataclass(frozen=True)
class Engine:
    """A session that reaches this machine's registry; ``mirrors`` are where it pulls from first,
    ``stand_ins`` the images that a stand-in serves."""

    session: Session
    mirrors: tuple[tuple[str, str], ...]
    stand_ins: tuple[str, ...]


@asynccontextmanager
async def ready(
    plan: Plan,
    home: Home,
    environ: Mapping[str, str],
    listener: Listener,
    progress: IO[str] | None,
) -> AsyncIterator[Engine]:
    """The engine that the settings of ``plan`` choose, base images at hand.

    Raises InputError where it is not to be had, or reaches not enough.
    """
    settings = plan.settings
    host = plan.registry.partition("/")[0]
    stand_ins = await building.needs_stand_in(plan, environ)
    mirrors = settings.mirrors
    if stand_ins:
        mirrors = (*mirrors, (standin.UPSTREAM, building.stand_in_host(host, home, environ)))
    ca_bundle = str(settings.ca_bundle.absolute()) if settings.ca_bundle else None
    config = DaemonConfig(mirrors=mirrors, ca_bundle=ca_bundle)
    async with reaching_session(
        settings.engine, home, environ, progress, config,
        pushes=host, mirror=mirrors[-1] if stand_ins else None,
    ) as session:  # fmt: skip
        listener.say(f"engine: {session.how}, Dagger API {session.version}")
        if stand_ins:
            await _published(home, mirrors[-1][1], ca_bundle)
            named = ", ".join(stand_ins)
            listener.say(f"{standin.UPSTREAM} cannot be reached: a stand-in serves {named}")
        yield Engine(session, mirrors, stand_ins)


async def _published(home: Home, host: str, ca_bundle: str | None) -> None:
    async with connected():
        await standin.publish(home, Registry(host), ca_bundle)
