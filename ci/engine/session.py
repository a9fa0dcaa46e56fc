"""Finds or starts the Dagger session of a run: the one place that knows how one comes to be.

In this order, or as the user says: the session of ``dagger run`` that we are inside of, a
``dagger`` CLI on PATH that answers, the embedded engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

import anyio
import httpx

from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.errors import InputError, PipelineError
from ci.home import Home

CLI_SECONDS = 15.0
"""How long a ``dagger`` CLI may take to start a session; with a dead engine it hangs minutes."""

END_SECONDS = 4.0

_SEEN_BY_SDK = ("DAGGER_SESSION_PORT", "DAGGER_SESSION_TOKEN")


@dataclass(frozen=True)
class Session:
    """A session that answers.

    ``kind`` is ``dagger`` or ``embedded``, ``version`` that of the engine's API, ``how`` says in
    words where it came from. ``http://127.0.0.1:{port}`` takes the token as user name (HTTP
    basic authentication).
    """

    kind: str
    version: str
    port: int
    token: str
    how: str


@asynccontextmanager
async def open_session(
    choice: str,
    home: Home,
    environ: Mapping[str, str],
    *,
    progress: IO[str] | None = None,
    config: DaemonConfig | None = None,
) -> AsyncIterator[Session]:
    """A session for ``choice`` (``auto``, ``dagger`` or ``embedded``); ends it if it began here.

    Inside the context ``dagger.connection()`` finds it. ``progress`` receives the embedded
    engine's progress (None discards it). ``config`` is for the embedded
    engine's daemon. Raises InputError where the wanted engine is not to be had.
    """
    before = {name: os.environ.get(name) for name in _SEEN_BY_SDK}
    try:
        async with _found(choice, home, environ, progress, config) as session:
            os.environ.update(zip(_SEEN_BY_SDK, (str(session.port), session.token), strict=True))
            yield session
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@asynccontextmanager
async def _found(
    choice: str,
    home: Home,
    environ: Mapping[str, str],
    progress: IO[str] | None,
    config: DaemonConfig | None,
) -> AsyncIterator[Session]:
    inside = environ.get("DAGGER_SESSION_PORT")
    kind_inside = "embedded" if environ.get("DAGGER_EMBEDDED") else "dagger"
    if inside and choice in ("auto", kind_inside):
        yield await _inside(environ, kind_inside)
        return
    if choice in ("auto", "dagger"):
        async with _real(choice, environ, progress) as session:
            if session:
                yield session
                return
    async with _embedded(home, environ, progress, config) as session:
        yield session


async def _inside(environ: Mapping[str, str], kind: str) -> Session:
    port, token = environ["DAGGER_SESSION_PORT"], environ.get("DAGGER_SESSION_TOKEN", "")
    fix = (
        "unset DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN, or start again under `dagger run`; "
        "`--engine embedded` needs neither"
    )
    if not port.isdecimal() or not token:
        what = f"is {port!r}, no port" if token else "is set without DAGGER_SESSION_TOKEN"
        raise InputError("DAGGER_SESSION_PORT", what, fix)
    how = "inside dagger-embedded run" if kind == "embedded" else "inside dagger run"
    return await _connected(kind, int(port), token, how, fix)


@asynccontextmanager
async def _real(
    choice: str, environ: Mapping[str, str], progress: IO[str] | None
) -> AsyncIterator[Session | None]:
    """A session of the ``dagger`` CLI; None where ``choice`` leaves another way."""
    program = environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN") or shutil.which(
        "dagger", path=environ.get("PATH")
    )
    if not program:
        if choice == "dagger":
            raise InputError(
                "--engine dagger", "there is no `dagger` CLI on PATH",
                "install it (https://docs.dagger.io/install), or use --engine embedded",
            )  # fmt: skip
        yield None
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = await stack.enter_async_context(_of_cli(program, "dagger", environ, progress))
        except PipelineError:
            if choice == "dagger":
                raise
            session = None
        yield session


@asynccontextmanager
async def _embedded(
    home: Home, environ: Mapping[str, str], progress: IO[str] | None, config: DaemonConfig | None
) -> AsyncIterator[Session]:
    from ci.engine.buildkit import daemon

    with daemon.using(home, environ, config):
        # The home that we were given decides, not the one that the environment names.
        inherited = {k: v for k, v in environ.items() if not k.startswith("DAGGER_SESSION_")}
        program = [sys.executable, "-m", "ci.engine.cli"]
        async with _of_cli(
            program, "embedded", {**inherited, "PIPELINE_HOME": str(home.root)}, progress
        ) as session:
            yield session


@asynccontextmanager
async def _of_cli(
    program: str | list[str], kind: str, environ: Mapping[str, str], progress: IO[str] | None
) -> AsyncIterator[Session]:
    """Starts ``CLI session`` and ends it, whatever happens, with the context."""
    command = [program] if isinstance(program, str) else program
    name = command[0] if kind == "dagger" else "embedded engine"
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "session",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environ, "NO_COLOR": "1"},
            # Ctrl-C is ours to handle: the session ends when we close its input.
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            name, f"cannot be run: {error.strerror}", "name a dagger CLI that works"
        ) from error
    said: deque[str] = deque(maxlen=5)
    # A dagger CLI tells of every call of the API: `dagger run` shows that as it is meant.
    shown = progress if kind == "embedded" else None
    relay = asyncio.create_task(_relay(process, said, shown))
    try:
        where = await _first_line(process, name, said)
        how = f"dagger CLI {name}" if kind == "dagger" else "embedded engine on BuildKit"
        yield await _connected(kind, int(where["port"]), where["session_token"], how, "run again")
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
            await relay


async def _relay(
    process: asyncio.subprocess.Process, last: deque[str], progress: IO[str] | None
) -> None:
    """Hands what the session says of its progress on, and remembers the last lines of it."""
    assert process.stderr  # noqa: S101 - a pipe by construction
    while piece := await process.stderr.read(65536):
        text = piece.decode(errors="replace")
        last.extend(line for line in text.splitlines() if line.strip())
        if progress:
            with contextlib.suppress(OSError):  # nobody reads it any more; the work goes on
                progress.write(text)
                progress.flush()


async def _first_line(
    process: asyncio.subprocess.Process, name: str, said: deque[str]
) -> dict[str, Any]:
    assert process.stdout  # noqa: S101 - a pipe by construction
    problem = "ended without starting a session"
    try:
        line = await asyncio.wait_for(process.stdout.readline(), CLI_SECONDS)
        if line.strip():
            where: dict[str, Any] = json.loads(line)
            return where
        await asyncio.sleep(0.1)  # for its last words
    except TimeoutError:
        problem = f"did not start a session within {CLI_SECONDS:.0f} s"
    except ValueError:
        problem = "answered something that is no session"
    detail = "".join(f"\n    {line}" for line in said)
    raise PipelineError(name, problem + detail, "start its engine, or use `--engine embedded`")


async def _connected(kind: str, port: int, token: str, how: str, fix: str) -> Session:
    """The session at this port, once it has told its version."""
    try:
        async with httpx.AsyncClient(auth=(token, ""), timeout=60, trust_env=False) as client:
            answer = await client.post(
                f"http://127.0.0.1:{port}/query", json={"query": "{version}"}
            )
    except httpx.HTTPError as error:
        raise InputError(
            f"Dagger session on port {port}", f"does not answer ({type(error).__name__})", fix
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise InputError(f"Dagger session on port {port}", "refuses the session token", fix)
    try:
        version = answer.json()["data"]["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"Dagger session on port {port}", f"is none: HTTP {answer.status_code}", fix
        ) from error
    return Session(kind, version, port, token, how)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
