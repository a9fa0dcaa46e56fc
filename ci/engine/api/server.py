"""The HTTP server of a session, on a loopback port: queries, and the log stream."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from ci.engine.api.execution import GraphQL
from ci.engine.api.logstream import TRACE, LogStream, trace_of


@dataclass(frozen=True)
class Server:
    """A running session: clients need its port and its token."""

    port: int
    token: str


@asynccontextmanager
async def serving(graphql: GraphQL, logs: LogStream, token: str) -> AsyncIterator[Server]:
    """Serves one session on 127.0.0.1 until the context ends.

    A client that goes away cancels what it asked for.
    """
    app = web.Application(middlewares=[_authenticated(token)], client_max_size=256 * 1024**2)
    app.router.add_post("/query", _query(graphql))
    app.router.add_get("/v1/logs", _stream_logs(logs))
    for signal in ("traces", "metrics"):
        app.router.add_get(f"/v1/{signal}", _stream_nothing(logs))
    for signal in ("traces", "metrics", "logs"):  # what clients export of themselves
        app.router.add_post(f"/v1/{signal}", _accept)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Server(runner.addresses[0][1], token)
    finally:
        logs.close()
        await runner.cleanup()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _authenticated(token: str) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            user = base64.b64decode(credentials).partition(b":")[0]
        except binascii.Error:
            user = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(user, token.encode()):
            return web.Response(
                status=401,
                headers={"WWW-Authenticate": 'Basic realm="Dagger session"'},
                text="wrong session token: this session belongs to another process; "
                "unset DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN to start one of your own",
            )
        return await handler(request)

    return check


def _query(graphql: GraphQL) -> Handler:
    async def query(request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict):
                raise ValueError("not an object")
        except ValueError as error:
            problem = {"message": f"json request body could not be decoded: {error}"}
            return web.json_response({"data": None, "errors": [problem]}, status=400)
        TRACE.set(trace_of(request.headers.get("traceparent")))
        response, status = await graphql.execute(body)
        return web.json_response(response, status=status)

    return query


def _stream_logs(logs: LogStream) -> Handler:
    async def stream(request: web.Request) -> web.StreamResponse:
        last = request.headers.get("X-Last-Event-ID", "")
        response = await _event_stream(request)
        async for number, text in logs.follow(int(last) if last.isdecimal() else 0):
            await response.write(f"id: {number}\nevent: logs\ndata: {text}\n\n".encode())
        return response

    return stream


def _stream_nothing(logs: LogStream) -> Handler:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = await _event_stream(request)
        await logs.ended.wait()
        return response

    return stream


async def _event_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    await response.write(b"id: \nevent: subscribed\ndata\n\n")
    return response


async def _accept(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(status=201)
