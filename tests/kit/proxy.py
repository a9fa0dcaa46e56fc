"""A proxy in front of a registry that fails as networks and busy registries do.

Each request is handed on over a connection of its own, unless a fault is due for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

REFUSALS = {
    429: b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\n",
    500: b"HTTP/1.1 500 Internal Server Error\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}


@dataclass
class Fault:
    """What happens to the next ``times`` requests of ``method`` whose path holds ``path``.

    ``what`` is a status to refuse with, ``reset`` to break the connection at once, ``drop`` to
    break it after ``after`` bytes of the request, or ``hang`` to never answer.
    """

    method: str
    path: str
    what: int | str
    times: int = 1
    after: int = 2000


@dataclass
class Proxy:
    """A running proxy. ``seen`` holds the method and path of every request."""

    host: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def due(self, method: str, path: str) -> Fault | None:
        self.seen.append((method, path))
        for fault in self.faults:
            if fault.times and method == fault.method and fault.path in path:
                fault.times -= 1
                return fault
        return None


@contextlib.contextmanager
def faulty(upstream: str, *faults: Fault) -> Iterator[Proxy]:
    """A proxy to ``upstream`` (``host:port``), in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    proxy = Proxy("", list(faults))

    async def serve() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: _handle(proxy, upstream, reader, writer), "127.0.0.1", 0
        )
        proxy.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    def run() -> None:
        asyncio.set_event_loop(loop)
        task = loop.create_task(serve())
        proxy_stop.append(lambda: loop.call_soon_threadsafe(task.cancel))
        loop.run_until_complete(task)
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    proxy_stop: list[object] = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield proxy
    finally:
        proxy_stop[0]()  # type: ignore[operator]
        thread.join(5)


async def _handle(
    proxy: Proxy, upstream: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        method, path = head.split(b" ", 2)[:2]
        fault = proxy.due(method.decode(), path.decode())
        if fault and fault.what in REFUSALS:
            # A client that is still sending must not meet a reset before it reads the answer.
            refusal = REFUSALS[int(fault.what)] + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(refusal)
            await writer.drain()
            writer.write_eof()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(-1), 1)
        elif fault and fault.what == "reset":
            writer.transport.abort()
        elif fault and fault.what == "hang":
            await reader.read(-1)
        else:
            await _hand_on(upstream, head, reader, writer, fault.after if fault else None)
    writer.close()


async def _hand_on(
    upstream: str,
    head: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    drop_after: int | None,
) -> None:
    host, _, port = upstream.partition(":")
    from_there, to_there = await asyncio.open_connection(host, int(port))
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    lines.insert(1, b"Connection: close")
    to_there.write(b"\r\n".join(lines))

    async def send() -> None:
        sent = 0
        while data := await reader.read(65536):
            sent += len(data)
            if drop_after is not None and sent > drop_after:
                writer.transport.abort()
                to_there.transport.abort()
                return
            to_there.write(data)
            await to_there.drain()

    sending = asyncio.ensure_future(send())
    with contextlib.suppress(ConnectionError):
        while data := await from_there.read(65536):
            writer.write(data)
            await writer.drain()
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await sending
    to_there.close()
