"""The log stream of a session: OTLP log records as server-sent events, as Dagger serves it.

Each record carries the trace of the request that made its step run, so that a client that sends
one ``traceparent`` a function (W3C Trace Context) gets that function's log and nothing else.
Format: OTLP/JSON (OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding") as protojson writes it:
trace and span IDs are base64.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from ci.engine.solve import Event

TRACE: ContextVar[str] = ContextVar("trace", default="0" * 32)
"""The trace ID (32 hex digits) of the request that is being answered."""


def trace_of(traceparent: str | None) -> str:
    """The trace ID of a ``traceparent`` header, all zeros where there is none."""
    found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", traceparent or "")
    return found[1] if found else "0" * 32


class LogStream:
    """Hands every record to every subscriber, from the moment it subscribes."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[str | None]] = set()

    def listener(self) -> _Solve:
        return _Solve(self, TRACE.get())

    def publish(self, trace: str, event: Event) -> None:
        if self._subscribers:
            text = json.dumps(record(trace, event), separators=(",", ":"))
            for queue in self._subscribers:
                queue.put_nowait(text)

    async def subscribe(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            while (text := await queue.get()) is not None:
                yield text
        finally:
            self._subscribers.discard(queue)

    def close(self) -> None:
        for queue in self._subscribers:
            queue.put_nowait(None)


class _Solve:
    """Publishes what the steps of one solve print, under the trace that asked for it."""

    def __init__(self, stream: LogStream, trace: str) -> None:
        self._stream = stream
        self._trace = trace

    def __call__(self, event: Event) -> None:
        if event.kind == "log":
            self._stream.publish(self._trace, event)

    def close(self) -> None:
        pass


def record(trace: str, event: Event) -> dict[str, Any]:
    """One OTLP ``ExportLogsServiceRequest`` with one record."""
    span = hashlib.sha256(f"{trace}{event.step}".encode()).digest()[:8]
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": [_text("service.name", "dagger-embedded")]},
                "scopeLogs": [
                    {
                        "scope": {"name": "dagger-embedded"},
                        "logRecords": [
                            {
                                "timeUnixNano": str(time.time_ns()),
                                "body": {"stringValue": event.data.decode(errors="replace")},
                                "attributes": [
                                    {
                                        "key": "stdio.stream",
                                        "value": {"intValue": str(event.stream)},
                                    },
                                    _text("dagger.io/step", event.name),
                                ],
                                "traceId": base64.b64encode(bytes.fromhex(trace)).decode(),
                                "spanId": base64.b64encode(span).decode(),
                            }
                        ],
                    }
                ],
            }
        ]
    }


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
