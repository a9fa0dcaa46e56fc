"""Logs per image from a session's stream, spoken as Dagger's engine speaks it."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import anyio
import anyio.lowlevel
from opentelemetry import trace

from ci.building.logs import following
from ci.engine.session import Session

TOKEN = "token"


def record(
    identity: str, text: str, *, step: str = "step", ended: bool = False, stream: str = "1",
    **marks: str,
) -> dict[str, Any]:  # fmt: skip
    attributes: list[dict[str, Any]] = [{"key": "stdio.stream", "value": {"intValue": stream}}]
    if ended:
        attributes.append({"key": "stdio.eof", "value": {"boolValue": True}})
    for name, value in marks.items():
        key = f"dagger.io/{name.replace('_', '.')}"
        attributes.append({"key": key, "value": {"stringValue": value}})
    body = {"stringValue": text} if text else {}
    trace_id = base64.b64encode(bytes.fromhex(identity)).decode()
    one = {"traceId": trace_id, "spanId": step, "body": body, "attributes": attributes}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [one]}]}]}


class Stream:
    """A log stream that a test feeds: events are sent as put, None breaks the connection."""

    def __init__(self, status: int = 200) -> None:
        self.events: Queue[dict[str, Any] | None] = Queue()
        self.resumed_from: list[str | None] = []
        self.status = status

    @contextlib.contextmanager
    def served(self) -> Iterator[Session]:
        stream, count = self, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                nonlocal count
                wanted = f"Basic {base64.b64encode(f'{TOKEN}:'.encode()).decode()}"
                assert self.headers["Authorization"] == wanted
                stream.resumed_from.append(self.headers.get("X-Last-Event-ID"))
                self.send_response(stream.status)
                self.end_headers()
                if stream.status != 200:
                    return
                self.wfile.write(b"event: subscribed\ndata: \n\n")
                while event := stream.events.get():
                    count += 1
                    text = f"event: logs\nid: {count}\ndata: {json.dumps(event)}\n\n"
                    self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Session("dagger", "v0", server.server_port, TOKEN, "test")
        finally:
            for _ in range(8):
                self.events.put(None)
            server.shutdown()
            server.server_close()


def current_trace() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


def test_each_image_gets_its_own_lines_whole_and_in_order(tmp_path: Path) -> None:
    stream = Stream()

    async def run() -> None:
        with stream.served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as a, logs.log("b") as b:
                    stream.events.put(record(a.trace, "one\ntw", step="1"))
                    stream.events.put(record(b.trace, "bee\n"))
                    stream.events.put(record(a.trace, "from another step\n", step="2"))
                    stream.events.put(record(a.trace, "o\nthree", step="1"))
                    stream.events.put(record("f" * 32, "nobody's\n"))
                    stream.events.put(record(a.trace, "", step="1", ended=True))
                    await logs.drain(a)
                    await logs.drain(b)

    anyio.run(run)
    assert (tmp_path / "a.log").read_text() == "one\nfrom another step\ntwo\nthree\n"
    assert (tmp_path / "b.log").read_text() == "bee\n"


def test_streams_are_kept_apart_steps_named_and_returned_values_left_out(tmp_path: Path) -> None:
    stream = Stream()

    async def run() -> None:
        with stream.served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as log:
                    one = log.trace
                    stream.events.put(record(one, "half of o", stream="1", step="RUN x"))
                    stream.events.put(record(one, "err\n", stream="2", step="RUN x"))
                    stream.events.put(record(one, "ut\n", stream="1", step="RUN x"))
                    stream.events.put(record(one, "sha256:1", step="publish", logs_verbose="true"))
                    for number in ("1", "2"):
                        stream.events.put(record(one, "", ended=True, stream=number, step="RUN x"))
                    await logs.drain(log)

    anyio.run(run)
    assert (tmp_path / "a.log").read_text() == "err\nhalf of out\n"


def test_requests_inside_carry_the_logs_trace(tmp_path: Path) -> None:
    async def run() -> tuple[str, str, str]:
        with Stream().served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as log:
                    inside = current_trace()
                return log.trace, inside, current_trace()

    own, inside, outside = anyio.run(run)
    assert own == inside != outside


def test_lines_that_come_late_are_waited_for(tmp_path: Path) -> None:
    """Dagger's engine hands lines on in batches, after the query has been answered."""
    stream = Stream()

    async def run() -> None:
        with stream.served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as log:
                    stream.events.put(record(log.trace, "first\n"))

                    def late(identity: str = log.trace) -> None:
                        time.sleep(0.6)
                        stream.events.put(record(identity, "last\n"))
                        stream.events.put(record(identity, "", ended=True))

                    Thread(target=late).start()
                    await logs.drain(log)

    anyio.run(run)
    assert (tmp_path / "a.log").read_text() == "first\nlast\n"


def test_a_stream_that_breaks_off_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    stream = Stream()

    async def run() -> None:
        with stream.served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as log:
                    stream.events.put(record(log.trace, "before\n"))
                    stream.events.put(None)
                    stream.events.put(record(log.trace, "after\n"))
                    stream.events.put(record(log.trace, "", ended=True))
                    await logs.drain(log)
                    await anyio.sleep(0.3)
                    await logs.drain(log)

    anyio.run(run)
    assert (tmp_path / "a.log").read_text() == "before\nafter\n"
    assert stream.resumed_from[:2] == [None, "1"]


def test_an_engine_without_the_stream_does_not_hold_up_the_run(tmp_path: Path) -> None:
    async def run() -> str:
        with Stream(status=404).served() as session:
            async with following(session, tmp_path) as logs:
                with logs.log("a") as log:
                    log.write("our own line")
                    await logs.drain(log)
                return logs.lost

    assert anyio.run(run) == "the session serves no log stream (HTTP 404)"
    assert (tmp_path / "a.log").read_text() == "our own line\n"


def test_a_hundred_logs_at_once_stay_apart(tmp_path: Path) -> None:
    stream = Stream()

    async def run() -> None:
        with stream.served() as session:
            async with following(session, tmp_path) as logs:

                async def one(name: str) -> None:
                    with logs.log(name) as log:
                        for number in range(20):
                            stream.events.put(record(log.trace, f"{name} {number}\n"))
                            await anyio.lowlevel.checkpoint()
                        stream.events.put(record(log.trace, "", ended=True))
                        await logs.drain(log)

                async with anyio.create_task_group() as group:
                    for index in range(100):
                        group.start_soon(one, f"f{index}")

    anyio.run(run)
    for index in range(100):
        lines = (tmp_path / f"f{index}.log").read_text().splitlines()
        assert lines == [f"f{index} {number}" for number in range(20)]
