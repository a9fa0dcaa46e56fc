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
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ci.engine.buildkit.rawjson import Event

TRACE: ContextVar[str] = ContextVar("trace", default="0" * 32)
"""The trace ID (32 hex digits) of the request that is being answered."""


def trace_of(traceparent: str | None) -> str:
    """The trace ID of a ``traceparent`` header, all zeros where there is none."""
    found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", traceparent or "")
    return found[1] if found else "0" * 32


class LogStream:
    """Every record of the session, kept in a file, for subscribers that come at any time.

    A file, so that neither a long history nor a slow subscriber costs memory. What is in it is
    already free of secrets.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer = file.open("ab")
        self._waiting: set[asyncio.Event] = set()
        self._size = 0
        self.ended = asyncio.Event()

    def listener(self) -> _Solve:
        return _Solve(self, TRACE.get())

    def publish(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self._writer.write(line)
        self._size += len(line)
        if self._waiting:
            self._writer.flush()
        for waiting in self._waiting:
            waiting.set()

    async def follow(self, after: int = 0) -> AsyncIterator[tuple[int, str]]:
        """Records with their numbers, those after ``after`` first, until the session ends."""
        more = asyncio.Event()
        self._waiting.add(more)
        try:
            with self._file.open("rb") as reader:
                number = 0
                while True:
                    more.clear()
                    self._writer.flush()
                    while (position := reader.tell()) < self._size:
                        line = reader.readline()
                        if not line.endswith(b"\n"):
                            reader.seek(position)
                            break
                        number += 1
                        if number > after:
                            yield number, line[:-1].decode()
                    if self.ended.is_set():
                        return
                    await more.wait()
        finally:
            self._waiting.discard(more)

    def close(self) -> None:
        """No more records: subscribers get what is there, then the end."""
        self.ended.set()
        for waiting in self._waiting:
            waiting.set()
        self._writer.flush()


class _Solve:
    """Publishes what the steps of one solve print, under the trace that asked for it."""

    def __init__(self, stream: LogStream, trace: str) -> None:
        self._stream = stream
        self._trace = trace
        self._open: dict[str, set[int]] = {}

    def __call__(self, event: Event) -> None:
        key = event.step
        if event.kind == "log":
            self._open.setdefault(key, set()).add(event.stream)
            self._stream.publish(self._record(event, event.stream, event.data))
        elif event.kind in ("done", "error"):
            for stream in sorted(self._open.pop(key, ())):
                self._stream.publish(self._record(event, stream, None))

    def _record(self, event: Event, stream: int, data: bytes | None) -> dict[str, Any]:
        return record(self._trace, event, stream, data)

    def close(self) -> None:
        pass


def record(trace: str, event: Event, stream: int, data: bytes | None) -> dict[str, Any]:
    """One OTLP ``ExportLogsServiceRequest`` with one record; ``data`` None ends the stream.

    Scope and attributes are those of Dagger's engine for what a step prints; the step's name,
    which Dagger tells in its stream of spans, is one attribute more.
    """
    attributes: list[dict[str, Any]] = [{"key": "stdio.stream", "value": {"intValue": str(stream)}}]
    if data is None:
        attributes.append({"key": "stdio.eof", "value": {"boolValue": True}})
    log = {
        "timeUnixNano": str(time.time_ns()),
        "body": {"stringValue": (data or b"").decode(errors="replace")},
        "attributes": attributes,
        "traceId": base64.b64encode(bytes.fromhex(trace)).decode(),
        "spanId": base64.b64encode(
            hashlib.sha256(f"{trace}{event.step}".encode()).digest()[:8]
        ).decode(),
    }
    return {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [
                        {"key": "service.name", "value": {"stringValue": "dagger-embedded"}}
                    ]
                },
                "scopeLogs": [
                    {"scope": {"name": "dagger.io/engine.buildkit"}, "logRecords": [log]}
                ],
            }
        ]
    }
