"""The function host: runs the local cloud's functions for as long as a command needs them.

It serves ``POST /functions/NAME/invocations`` to the local cloud, reads queues, keeps schedules
and repeats what failed, as Lambda does around a function. A minute of what AWS only waits for (the
interval of a schedule, the pause before an attempt, the time-out after which a failed message is
visible again) is a second here: ``pace``. What functions do themselves takes its time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, to_thread

from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.local.lambdas.asynchronous import Asynchronous
from ci.local.lambdas.diary import Diary
from ci.local.lambdas.environment import Surroundings
from ci.local.lambdas.fleet import Limits, running
from ci.local.lambdas.functions import NoSuchFunction, NotServed
from ci.local.lambdas.invocations import Invocations, service_error
from ci.local.lambdas.runtime_api import MAX_EVENT, TOO_LARGE, Result
from ci.local.lambdas.schedules import Schedules
from ci.local.lambdas.sources import Sources
from ci.stillness import Stillness

if TYPE_CHECKING:
    from aiohttp import web

PACE = 60.0
MAX_ASYNCHRONOUS = 1024 * 1024
"""Bytes of an asynchronous event. Source: Lambda quotas."""


@dataclass(frozen=True)
class Options:
    """How a host works. ``driven``: queues are read and schedules kept; else it only answers."""

    pace: float = PACE
    limits: Limits = field(default_factory=Limits)
    driven: bool = True


class Host:
    """A function host at work. Made by ``hosting``."""

    def __init__(
        self, cloud: Cloud, invocations: Invocations, events: Asynchronous, sources: Sources
    ) -> None:
        self._invocations, self._events, self._sources = invocations, events, sources
        self._stillness = Stillness(cloud)
        self._asked = 0
        self.url = ""

    @property
    def in_progress(self) -> int:
        """Invocations, batches and events that are not done with; those of schedules left out."""
        return self._asked + self._events.pending + self._sources.in_progress

    async def drained(self, seconds: float | None = None) -> bool:
        """Waits until nothing is in flight: no message in a queue that is no dead-letter queue, no
        execution of a state machine, no invocation. False where that took longer than ``seconds``.

        Raises PipelineError where the cloud does not answer.
        """
        with anyio.move_on_after(seconds):
            quiet = 0
            while quiet < 2:  # one look may miss what just moves from a place to another
                busy = self.in_progress or await to_thread.run_sync(self._stillness.broken)
                quiet = 0 if busy else quiet + 1
                await anyio.sleep(0.3)
            return True
        return False

    async def answer(self, request: web.Request) -> web.Response:
        """``POST /functions/NAME/invocations``; errors of Lambda itself as Lambda's API."""
        self._asked += 1
        try:
            return await self._answer(request)
        finally:
            self._asked -= 1

    async def _answer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        name = request.match_info["name"]
        asynchronous = request.headers.get("X-Amz-Invocation-Type") == "Event"
        revision = request.headers.get("X-Function-Revision", "")
        try:
            event = await request.read()
            if asynchronous and len(event) > MAX_ASYNCHRONOUS:
                raise web.HTTPRequestEntityTooLarge(MAX_ASYNCHRONOUS, len(event))
            if asynchronous:
                await self._invocations.function(name, revision)
                self._events.submit(name, event)
                return web.Response(status=202)
            result = await self._invocations.invoke(name, event or b"{}", revision=revision)
        except web.HTTPRequestEntityTooLarge as error:
            return _refusal(413, "RequestTooLargeException", str(error.text))
        except NoSuchFunction as error:
            return _refusal(404, "ResourceNotFoundException", str(error))
        except (NotServed, PipelineError) as error:
            return _refusal(500, "ServiceException", str(error))
        return _told(result)


@asynccontextmanager
async def hosting(
    cloud: Cloud, registry: str, helper: Path, out: Path, options: Options | None = None
) -> AsyncIterator[Host]:
    """Run the functions of the local cloud, in the current Dagger connection.

    ``registry`` (``127.0.0.1:PORT``) holds the account's images, ``helper`` is the directory of
    ``ci.local.lambdas.observer``; logs go to ``out/lambda/``. With the context everything ends:
    containers, servers, the registration. Raises PipelineError where the cloud does not answer.
    """
    options = options or Options()
    logs = out / "lambda"
    diary = Diary(logs)
    async with AsyncExitStack() as stack:
        stack.callback(diary.close)
        fleet = await stack.enter_async_context(running(Surroundings(helper, logs), options.limits))
        invocations = Invocations(cloud, registry, fleet)
        events = Asynchronous(cloud, invocations, diary, options.pace)
        sources = Sources(cloud, invocations, diary, options.pace)
        schedules = Schedules(cloud, events, diary, options.pace)
        host = Host(cloud, invocations, events, sources)
        stack.push_async_callback(_shielded, events.close)
        host.url = await stack.enter_async_context(_serving(host))
        await stack.enter_async_context(_registered(cloud, host.url))
        async with anyio.create_task_group() as group:
            if options.driven:
                group.start_soon(sources.run)
                group.start_soon(schedules.run)
            try:
                yield host
            finally:
                group.cancel_scope.cancel()


async def _shielded(work: object) -> None:
    with CancelScope(shield=True):
        await work()  # type: ignore[operator]


@asynccontextmanager
async def _serving(host: Host) -> AsyncIterator[str]:
    from aiohttp import web

    app = web.Application(client_max_size=MAX_EVENT)
    app.router.add_post("/functions/{name}/invocations", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        with CancelScope(shield=True):
            await runner.cleanup()


@asynccontextmanager
async def _registered(cloud: Cloud, url: str) -> AsyncIterator[None]:
    await _tell(cloud, "PUT", url)
    try:
        yield
    finally:
        with CancelScope(shield=True):
            await _tell(cloud, "DELETE", url)


async def _tell(cloud: Cloud, method: str, url: str) -> None:
    import httpx

    where = f"http://127.0.0.1:{cloud.port}/_local/function-host"
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.request(method, where, json={"url": url})
        what = f"HTTP {answer.status_code}: {answer.text}" if answer.status_code >= 400 else ""
    except httpx.HTTPError as error:
        what = f"does not answer ({type(error).__name__})"
    if what and method == "PUT":
        fix = "start it anew: `make stop`, then run again"
        raise PipelineError(f"local cloud on port {cloud.port}", what, fix)


def _told(result: Result) -> web.Response:
    from aiohttp import web

    if result.error_type == TOO_LARGE:
        return _refusal(413, "RequestTooLargeException", result.json()["errorMessage"])
    headers = {} if result.ok else {"X-Amz-Function-Error": "Unhandled"}
    return web.Response(body=result.payload, content_type="application/json", headers=headers)


def _refusal(status: int, kind: str, message: str) -> web.Response:
    from aiohttp import web

    return web.json_response(service_error(kind, message), status=status)
