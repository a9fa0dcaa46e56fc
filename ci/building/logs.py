"""A complete build log per image, from the engine's own log stream.

``GET /v1/logs`` of a session streams every step's output (server-sent events, OTLP as JSON),
marked with the trace of the request that caused it. So each image works under a trace of its own.
Dagger's engine and the embedded one serve the same stream.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import resource
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import anyio
import httpx

from ci.engine.session import Session

QUIET = {"dagger": 0.3, "embedded": 0.05}
"""Seconds without a line after which a finished image's log counts as complete, by the engine's
kind. Dagger's engine hands lines on about every 0.1 s (telemetry.NearlyImmediate), the embedded
one at once."""
UNMARKED_QUIET = 0.9
LONGEST_DRAIN = 5.0


@dataclass
class Log:
    """The log of one image: a file, and what is not yet a whole line of each step."""

    path: Path
    trace: str
    file: IO[str]
    heard: float = 0.0
    open_streams: set[str] = field(default_factory=set)
    _begun: dict[str, str] = field(default_factory=dict)
    _named: set[str] = field(default_factory=set)

    def write(self, text: str) -> None:
        """A line of ours."""
        self.file.write(text.rstrip("\n") + "\n")

    def hear(self, step: str, text: str, attributes: Mapping[str, Any]) -> None:
        """Output of a step. Lines that come side by side, from steps or from the two streams of
        one step, stay whole. What Dagger marks verbose (values that queries return) is no output.
        """
        self.heard = anyio.current_time()
        if attributes.get("dagger.io/logs.verbose"):
            return
        if (name := attributes.get("dagger.io/step")) and step not in self._named:
            self._named.add(step)
            self.write(f"── {name}")
        stream = f"{step} {attributes.get('stdio.stream')}"
        ended = bool(attributes.get("stdio.eof"))
        (self.open_streams.discard if ended else self.open_streams.add)(stream)
        lines = (self._begun.pop(stream, "") + text).split("\n")
        if ended and lines[-1]:
            lines.append("")
        if lines[-1]:
            self._begun[stream] = lines[-1]
        for line in lines[:-1]:
            self.file.write(line + "\n")

    def end(self) -> None:
        """Writes what is left and closes the file."""
        for text in self._begun.values():
            self.write(text)
        self.file.close()


class Logs:
    """The logs of a run. Made by ``following``."""

    def __init__(self, directory: Path, quiet: float) -> None:
        self._directory, self._quiet = directory, quiet
        self._by_trace: dict[str, Log] = {}
        self.lost = ""

    @contextmanager
    def log(self, name: str) -> Iterator[Log]:
        """The log of an image; requests made inside belong to it."""
        from opentelemetry import trace

        span = trace.SpanContext(
            random.getrandbits(128), random.getrandbits(64), False, trace.TraceFlags(1)
        )
        identity = f"{span.trace_id:032x}"
        path = self._directory / f"{name}.log"
        with path.open("w", encoding="utf-8", errors="replace") as file:
            log = self._by_trace[identity] = Log(path, identity, file)
            try:
                with trace.use_span(trace.NonRecordingSpan(span), record_exception=False):
                    yield log
            finally:
                del self._by_trace[identity]
                log.end()

    async def drain(self, log: Log) -> None:
        """Waits until the stream has nothing more for ``log``.

        Dagger's engine marks the end of each step's output (``stdio.eof``), a little late at
        times; where a mark is missing, a longer silence has to do.
        """
        began = anyio.current_time()
        while not self.lost and (now := anyio.current_time()) - began < LONGEST_DRAIN:
            quiet = now - max(log.heard, began)
            if quiet >= (UNMARKED_QUIET if log.open_streams else self._quiet):
                return
            await anyio.sleep(0.05)

    def take(self, event: dict[str, Any]) -> None:
        """Hands the records of one OTLP message to the logs that they belong to."""
        for source in event.get("resourceLogs", ()):
            for scope in source.get("scopeLogs", ()):
                for record in scope.get("logRecords", ()):
                    if log := self._by_trace.get(_hex(record.get("traceId", ""))):
                        text = record.get("body", {}).get("stringValue", "")
                        log.hear(record.get("spanId", ""), text, _attributes(record))


@asynccontextmanager
async def following(session: Session, directory: Path) -> AsyncIterator[Logs]:
    """Logs in ``directory``, filled from the session's stream while the context lasts."""
    directory.mkdir(parents=True, exist_ok=True)
    _allow_many_files()
    logs = Logs(directory, QUIET[session.kind])
    async with anyio.create_task_group() as group:
        await group.start(_follow, session, logs)
        try:
            yield logs
        finally:
            group.cancel_scope.cancel()


async def _follow(
    session: Session,
    logs: Logs,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Reads the stream; takes it up again where it broke off, a few times."""
    last, subscribed = "", False
    url = f"http://127.0.0.1:{session.port}/v1/logs"
    timeout = httpx.Timeout(None, connect=10)
    async with httpx.AsyncClient(
        auth=(session.token, ""), timeout=timeout, trust_env=False
    ) as client:
        for _ in range(5):
            headers = {"Accept": "text/event-stream"} | ({"X-Last-Event-ID": last} if last else {})
            with contextlib.suppress(httpx.TransportError):
                async with client.stream("GET", url, headers=headers) as answer:
                    if answer.status_code != 200:
                        logs.lost = f"the session serves no log stream (HTTP {answer.status_code})"
                        break
                    if not subscribed:
                        task_status.started()
                    subscribed = True
                    async for line in answer.aiter_lines():
                        if line.startswith("id:"):
                            last = line[3:].strip()
                        elif line.startswith("data:") and (data := line[5:].strip()):
                            logs.take(json.loads(data))
            await anyio.sleep(0.2)
    logs.lost = logs.lost or "the session's log stream broke off"
    if not subscribed:
        task_status.started()


def _allow_many_files() -> None:
    """Every image has its log open, from its turn in the queue on: raise the soft limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _hex(identity: str) -> str:
    """A trace id. OTLP's JSON wants hexadecimal digits; Go's protojson writes base64."""
    if len(identity) == 32:
        return identity
    try:
        return base64.b64decode(identity).hex()
    except ValueError:
        return ""


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by name, each the one value that OTLP wraps in its type."""
    return {
        attribute["key"]: next(iter(attribute.get("value", {}).values()), None)
        for attribute in record.get("attributes", ())
    }
