"""A session whose engine reaches this machine's registries; another, or words, where it does not.

A Dagger engine in a container of its own often cannot reach the host's 127.0.0.1, and only its
own configuration can give it a mirror. The embedded engine has both.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO

import httpx

from ci.engine.daemon_config import DaemonConfig
from ci.engine.session import Session, open_session
from ci.errors import InputError
from ci.home import Home
from ci.reference import is_loopback

PROBE = "pipeline-reachability"


@asynccontextmanager
async def reaching_session(
    choice: str,
    home: Home,
    environ: Mapping[str, str],
    progress: IO[str] | None,
    config: DaemonConfig,
    *,
    pushes: str,
    mirror: tuple[str, str] | None,
) -> AsyncIterator[Session]:
    """A session for ``choice`` that can push to the registry ``pushes`` (blank: any will do) and
    pull from the upstream of ``mirror`` through that mirror.

    ``auto`` goes on to the embedded engine where a Dagger engine cannot; otherwise raises
    InputError with what its engine.json lacks.
    """
    async with open_session(choice, home, environ, progress=progress, config=config) as session:
        fault = None
        if session.kind == "dagger":
            fault = await _fault(session, pushes, mirror)
        if not fault:
            yield session
            return
    if choice == "dagger" or environ.get("DAGGER_SESSION_PORT"):
        raise fault
    async with open_session("embedded", home, environ, progress=progress, config=config) as session:
        yield session


async def _fault(
    session: Session, pushes: str, mirror: tuple[str, str] | None
) -> InputError | None:
    """What the engine behind ``session`` cannot reach."""
    local = [host for host in dict.fromkeys([pushes, mirror[1] if mirror else ""]) if host]
    for host in filter(is_loopback, local):
        address = f"{host}/{PROBE}:latest"
        new = 'withNewFile(path:"/reached",contents:"")'
        if why := await _refused(
            session, f'{{container{{{new}{{publish(address:"{address}")}}}}}}'
        ):
            fix = "use --engine embedded, or run the Dagger engine on this machine's network"
            return InputError(
                session.how, f"its engine cannot reach the registry {host}: {why}", fix
            )
    if not mirror:
        return None
    upstream, stand_in = mirror
    # The probe is in the mirror: whether it is also found upstream tells if the mirror is asked.
    query = f'{{container{{from(address:"{upstream}/{PROBE}:latest"){{rootfs{{entries}}}}}}}}'
    if not (why := await _refused(session, query)):
        return None
    wanted = {
        "registries": {upstream: {"mirrors": [stand_in]}, stand_in: {"http": True}},
    }
    return InputError(
        session.how,
        f"its engine can pull nothing from {upstream}: {why}",
        "use --engine embedded, or let the engine's engine.json say, and restart it: "
        + json.dumps(wanted),
    )


async def _refused(session: Session, query: str) -> str:
    """Why a query fails; blank when it does not.

    Asked without the SDK, whose connection is one for the whole process.
    """
    url = f"http://127.0.0.1:{session.port}/query"
    try:
        async with httpx.AsyncClient(
            auth=(session.token, ""), timeout=60, trust_env=False
        ) as client:
            answer = (await client.post(url, json={"query": query})).json()
    except (httpx.HTTPError, ValueError) as error:
        return f"the session does not answer ({type(error).__name__})"
    errors = answer.get("errors") or []
    return str(errors[0].get("message", "")).strip().splitlines()[-1] if errors else ""
