"""A session whose engine reaches this machine's registries; another, or words, where it does not.

A Dagger engine in a container of its own often cannot reach the host's 127.0.0.1, and only its
own configuration can give it a mirror. The embedded engine has both.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import IO

import httpx

from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.engine.session import Session, open_session
from ci.errors import InputError
from ci.home import Home
from ci.registry.reference import is_loopback

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
    said = token_hex(8)
    new = f'withNewFile(path:"/said",contents:"{said}")'
    for host in dict.fromkeys([pushes, mirror[1] if mirror else ""]):
        if not (host and is_loopback(host)):
            continue
        query = f'{{container{{{new}{{publish(address:"{host}/{PROBE}:latest")}}}}}}'
        _, why = await _ask(session, query)
        if why:
            what = f"its engine cannot reach the registry {host}: {why}"
            fix = "use --engine embedded, or run the Dagger engine on this machine's network"
            return InputError(session.how, what, fix)
    if not mirror:
        return None
    upstream, stand_in = mirror
    # The probe is in the mirror: whether it is also found upstream tells if the mirror is asked.
    pulled = f'from(address:"{upstream}/{PROBE}:latest")'
    query = f'{{container{{{pulled}{{file(path:"/said"){{contents}}}}}}}}'
    answer, why = await _ask(session, query)
    if not why and f'"{said}"' in json.dumps(answer):
        return None
    wanted = {"registries": {upstream: {"mirrors": [stand_in]}, stand_in: {"http": True}}}
    return InputError(
        session.how,
        f"its engine does not pull from {upstream} through {stand_in}: "
        + (why or "it found another registry's content there"),
        "use --engine embedded, or let the engine's engine.json say, and restart it: "
        + json.dumps(wanted),
    )


async def _ask(session: Session, query: str) -> tuple[object, str]:
    """The data of an answer, and why there is none.

    Asked without the SDK, whose connection is one for the whole process.
    """
    url = f"http://127.0.0.1:{session.port}/query"
    try:
        async with httpx.AsyncClient(
            auth=(session.token, ""), timeout=60, trust_env=False
        ) as client:
            answer = (await client.post(url, json={"query": query})).json()
    except (httpx.HTTPError, ValueError) as error:
        return None, f"the session does not answer ({type(error).__name__})"
    errors = answer.get("errors") or []
    why = str(errors[0].get("message", "")).strip().splitlines()[-1] if errors else ""
    return answer.get("data"), why
