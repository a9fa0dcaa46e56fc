"""Services of the host, as containers see them: an alias that leads to one loopback address.

Steps run on the host's network. Each service gets a loopback address of its own
(127.64.0.0/10), on which the session listens on the frontend ports and passes connections on;
so two services may use the same port, and a frontend port may differ from the backend's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random

from ci.engine.api.nodes import Node
from ci.engine.graph.containers import BadRequest


class Services:
    """The forwarders of one session, one for each Service node."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._servers: list[asyncio.Server] = []
        self._lock = asyncio.Lock()
        # asyncio itself forgets a connection whose one half is closed.
        self._open: set[asyncio.Task[None] | None] = set()

    async def bind(self, service: Node) -> str:
        """The address on which ``service`` answers, forwarding from now on."""
        async with self._lock:
            if service.id not in self._addresses:
                self._addresses[service.id] = await self._start(service)
            return self._addresses[service.id]

    async def _start(self, service: Node) -> str:
        if not service.args["ports"]:
            raise BadRequest("no ports specified")
        host = service.args["host"] or "localhost"
        address = ".".join(
            ["127", *(str(random.randint(low, 254)) for low in (64, 1, 1))]  # noqa: S311
        )
        for port in service.args["ports"]:
            if port.get("protocol", "TCP") != "TCP":
                raise BadRequest("embedded engine does not serve Host.service(protocol: UDP)")
            backend = port["backend"]
            frontend = port.get("frontend") or backend
            forward = functools.partial(self._forward, host=host, port=backend)
            server = await asyncio.start_server(forward, address, frontend)
            self._servers.append(server)
        return address

    async def close(self) -> None:
        for server in self._servers:
            server.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, port: int
    ) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            await _forward(reader, writer, host=host, port=port)
        finally:
            self._open.discard(task)


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, port: int
) -> None:
    with contextlib.suppress(OSError):
        try:
            to_reader, to_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()  # refused there is refused here
            return
        try:
            await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
        finally:
            to_writer.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Raises OSError where an end broke off: then the other one has to know, too."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
