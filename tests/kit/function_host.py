"""A function host for tests of the local cloud: answers invocations from a script."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from kit.local_cloud import LocalCloud


@dataclass
class Invocation:
    """What the local cloud asked for; header names in lower case."""

    function: str
    headers: dict[str, str]
    payload: Any


@dataclass
class FunctionHost:
    """``answers``: function → its handler, which gives (status, headers, document).

    A function that is not in there echoes its event.
    """

    url: str = ""
    answers: dict[str, Callable[[Any], tuple[int, dict[str, str], Any]]] = field(
        default_factory=dict
    )
    invocations: list[Invocation] = field(default_factory=list)

    def of(self, function: str) -> list[Invocation]:
        return [each for each in self.invocations if each.function == function]


def failed(kind: str, message: str) -> tuple[int, dict[str, str], Any]:
    """A function's own error."""
    error = {"errorType": kind, "errorMessage": message}
    return 200, {"X-Amz-Function-Error": "Unhandled"}, error


@contextlib.contextmanager
def serving(cloud: LocalCloud) -> Iterator[FunctionHost]:
    """A function host, registered with a local cloud."""
    host = FunctionHost()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.path.split("/")[2]
            headers = {key.lower(): value for key, value in self.headers.items()}
            event = json.loads(text or b"{}")
            host.invocations.append(Invocation(name, headers, event))
            kind = headers["x-amz-invocation-type"]
            status, more, document = host.answers.get(name, lambda event: (200, {}, event))(event)
            body = b"" if kind == "Event" and status == 200 else json.dumps(document).encode()
            self.send_response(202 if kind == "Event" and status == 200 else status)
            for key, value in more.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    place = f"{cloud.cloud.endpoint}/_local/function-host"
    with httpx.Client(trust_env=False) as client:
        client.put(place, json={"url": host.url}).raise_for_status()
        try:
            yield host
        finally:
            client.request("DELETE", place, json={"url": host.url})
            server.shutdown()
            server.server_close()
