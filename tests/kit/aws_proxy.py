"""A proxy in front of AWS's APIs that throttles as they do, and lets others be faster."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

_REFUSAL = (
    '<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error>'
    "<Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>"
    "<RequestId>1</RequestId></ErrorResponse>"
)
"""Source: CloudFormation API Reference, "Common Errors", as they are sent."""
THROTTLING = ("Throttling", "Rate exceeded")
EXPIRED = ("ExpiredToken", "The security token included in the request is expired")


@dataclass
class Proxy:
    """A running proxy. ``throttled`` says how often each action is still refused, with which
    ``refusal``; ``before`` what happens, once, before one is handed on; ``hung`` actions are never
    answered. ``seen`` counts the requests of each action, the refused ones too."""

    port: int = 0
    throttled: dict[str, int] = field(default_factory=dict)
    refusal: tuple[str, str] = THROTTLING
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    hung: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuses(self, action: str) -> bool:
        with self._lock:
            self.seen[action] += 1
            if self.throttled.get(action, 0) > 0:
                self.throttled[action] -= 1
                self.refused[action] += 1
                return True
            return False


@contextlib.contextmanager
def between(upstream: int) -> Iterator[Proxy]:
    """A proxy to a port of this machine, in threads of its own."""
    proxy = Proxy()
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
            if action in proxy.hung:
                ended.wait()
                self.close_connection = True
                return
            if proxy.refuses(action):
                refusal = _REFUSAL.format(*proxy.refusal).encode()
                self._answer(400, [("Content-Type", "text/xml")], refusal)
                return
            if callback := proxy.before.pop(action, None):
                try:
                    callback()
                except BaseException as error:
                    proxy.errors.append(error)
            # Template URLs are the upstream's own.
            ours, theirs = f"localhost%3A{proxy.port}".encode(), f"localhost%3A{upstream}".encode()
            body = body.replace(ours, theirs)
            headers = {**dict(self.headers), "Content-Length": str(len(body))}
            connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())
            connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            if self.command == "HEAD":
                length = dict(headers).get("Content-Length", "0")
            else:
                length = str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler._handle)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        proxy.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            ended.set()
            server.shutdown()
    if proxy.errors:
        raise proxy.errors[0]
