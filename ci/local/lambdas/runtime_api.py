"""A server of the Lambda Runtime API: what a function's container asks for work.

Source: "Using the Lambda runtime API for custom runtimes" in AWS's documentation, version
2018-06-01. One server serves one execution environment, which works on one invocation at a time;
the others queue.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from aiohttp import web

PREFIX = "/2018-06-01/runtime"
# Lambda's quotas for synchronous invocations, in bytes: 6 MB, and 100 bytes for the response.
MAX_EVENT = 6 * 1024 * 1024
MAX_RESPONSE = MAX_EVENT + 100
TIMED_OUT = "Sandbox.Timedout"
TOO_LARGE = "RequestTooLarge"
RESPONSE_TOO_LARGE = "Function.ResponseSizeTooLarge"


@dataclass(frozen=True)
class Result:
    """What an invocation came to.

    ``payload`` is what the handler returned, as JSON text; where ``error_type`` is set it is
    Lambda's error object (``errorMessage``, ``errorType`` and perhaps ``stackTrace``) instead.
    """

    payload: bytes
    error_type: str | None = None

    @property
    def ok(self) -> bool:
        return self.error_type is None

    def json(self) -> Any:
        return json.loads(self.payload)

    @classmethod
    def error(cls, error_type: str, message: str) -> Result:
        payload = {"errorType": error_type, "errorMessage": message}
        return cls(json.dumps(payload).encode(), error_type)


Ending: TypeAlias = Callable[[str], Result]
"""How an environment ended: from a request's id, what that invocation came to."""


def by_platform(error_type: str, message: str) -> Ending:
    """An error that Lambda itself reports, in its words."""
    return lambda request_id: Result.error(error_type, f"RequestId: {request_id} Error: {message}")


def timed_out(seconds: float) -> Ending:
    return by_platform(TIMED_OUT, f"Task timed out after {seconds:.2f} seconds")


@dataclass
class _Invocation:
    event: bytes
    seconds: float
    request_id: str
    taken: Callable[[], None]
    late: Ending
    result: asyncio.Future[Result] = field(default_factory=asyncio.Future)

    def settle(self, result: Result) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def start(self) -> None:
        self.taken()
        timer = asyncio.get_running_loop().call_later(
            self.seconds, lambda: self.settle(self.late(self.request_id))
        )
        self.result.add_done_callback(lambda _: timer.cancel())


class RuntimeApi:
    """Queues invocations, hands them to the runtime that asks, and collects their results."""

    def __init__(self, function_arn: str) -> None:
        self.port = 0
        self._arn = function_arn
        self._queue: asyncio.Queue[_Invocation] = asyncio.Queue()
        self._open: dict[str, _Invocation] = {}
        self.ended: Ending | None = None
        """What every invocation comes to once the runtime is gone."""
        self.ready = asyncio.Event()
        """Set once the runtime asked for work, or is gone."""

    async def invoke(
        self,
        event: bytes,
        seconds: float,
        request_id: str = "",
        *,
        taken: Callable[[], None] = lambda: None,
        late: Ending | None = None,
    ) -> Result:
        """Run the handler on a JSON text; never raises for what the function does.

        The time limit counts from when the runtime takes the event, as on Lambda; ``taken`` is
        called then, ``late`` is what an invocation comes to that exceeds it. Such a function is
        still at work when this returns: its environment has to be ended.
        """
        request_id = request_id or str(uuid.uuid4())
        if self.ended:
            return self.ended(request_id)
        if len(event) > MAX_EVENT:
            return Result.error(
                TOO_LARGE, f"the event has {len(event)} bytes, Lambda takes {MAX_EVENT}"
            )
        invocation = _Invocation(event, seconds, request_id, taken, late or timed_out(seconds))
        self._open[request_id] = invocation
        self._queue.put_nowait(invocation)
        try:
            return await invocation.result
        finally:
            invocation.result.cancel()  # where the caller was cancelled, nobody waits for it
            del self._open[request_id]

    def end(self, ending: Ending) -> None:
        """The runtime is gone: so every open and every later invocation ends."""
        self.ended = self.ended or ending
        self.ready.set()
        for invocation in self._open.values():
            invocation.settle(self.ended(invocation.request_id))

    async def _next(self, request: web.Request) -> web.Response:
        from aiohttp import web

        self.ready.set()
        invocation = await self._queue.get()
        while invocation.result.done():  # given up while it queued
            invocation = await self._queue.get()
        invocation.start()
        deadline_ms = int((time.time() + invocation.seconds) * 1000)
        return web.Response(
            body=invocation.event,
            content_type="application/json",
            headers={
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": self._arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
            },
        )

    async def _response(self, request: web.Request) -> web.Response:
        from aiohttp import web

        if not (invocation := self._open.get(request.match_info["id"])):
            return _refusal(400, "InvalidRequestID", "no such invocation is in progress")
        try:
            invocation.settle(Result(await request.read()))
        except web.HTTPRequestEntityTooLarge:
            message = f"Response payload size exceeded maximum of {MAX_RESPONSE} bytes"
            invocation.settle(Result.error(RESPONSE_TOO_LARGE, message))
            return _refusal(413, RESPONSE_TOO_LARGE, message)
        return _accepted()

    async def _error(self, request: web.Request) -> web.Response:
        if not (invocation := self._open.get(request.match_info["id"])):
            return _refusal(400, "InvalidRequestID", "no such invocation is in progress")
        invocation.settle(await _reported(request))
        return _accepted()

    async def _init_error(self, request: web.Request) -> web.Response:
        result = await _reported(request)
        self.end(lambda _: result)
        return _accepted()


@asynccontextmanager
async def serving(function_arn: str) -> AsyncIterator[RuntimeApi]:
    """Serve the Runtime API on a free port of 127.0.0.1."""
    from aiohttp import web

    api = RuntimeApi(function_arn)
    app = web.Application(client_max_size=MAX_RESPONSE)
    app.router.add_get(f"{PREFIX}/invocation/next", api._next)
    app.router.add_post(f"{PREFIX}/invocation/{{id}}/response", api._response)
    app.router.add_post(f"{PREFIX}/invocation/{{id}}/error", api._error)
    app.router.add_post(f"{PREFIX}/init/error", api._init_error)
    # A runtime that went away must not keep its place in the queue; one that waits must not keep
    # the server from ending.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.port = runner.addresses[0][1]
        yield api
    finally:
        api.end(by_platform("Runtime.ExitError", "the function's environment was ended"))
        await runner.cleanup()


async def _reported(request: web.Request) -> Result:
    payload = await request.read()
    if not (error_type := request.headers.get("Lambda-Runtime-Function-Error-Type")):
        try:
            error_type = json.loads(payload)["errorType"]
        except (ValueError, KeyError, TypeError):
            error_type = "Runtime.Unknown"
    return Result(payload, error_type)


def _accepted() -> web.Response:
    from aiohttp import web

    return web.json_response({"status": "OK"}, status=202)


def _refusal(status: int, error_type: str, message: str) -> web.Response:
    from aiohttp import web

    return web.json_response({"errorType": error_type, "errorMessage": message}, status=status)
