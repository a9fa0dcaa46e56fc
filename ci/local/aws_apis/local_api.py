"""``/_local/``: what the pipeline's own parts tell the local cloud and ask of it.

``GET health``; ``PUT registry {"host"}``; ``GET``, ``PUT`` and ``DELETE function-host {"url"}``;
``GET stacks`` and ``GET stacks/NAME/resources``: what stacks hold, properties resolved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from ci.local.aws_apis.daemon import NAME
from ci.local.aws_apis.surroundings import Surroundings

if TYPE_CHECKING:
    from ci.local.aws_apis.cloudformation.api import Engines

_PREFIX = "/_local/"
_STATUS = {200: "200 OK", 204: "204 No Content", 400: "400 Bad Request", 404: "404 Not Found"}


class LocalApi:
    """A WSGI application: its own paths, and moto for all others."""

    def __init__(self, moto: Callable[..., Iterable[bytes]], surroundings: Surroundings) -> None:
        self._moto = moto
        self._surroundings = surroundings
        self.engines: Engines | None = None

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(_PREFIX):
            return self._moto(environ, start_response)
        steps = [unquote(step) for step in path.removeprefix(_PREFIX).split("/")]
        query = parse_qs(str(environ.get("QUERY_STRING", "")))
        region = query.get("region", ["us-east-1"])[0]
        status, answer = self._answer(environ["REQUEST_METHOD"], steps, _body(environ), region)
        text = b"" if answer is None else json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        start_response(_STATUS[status], headers)
        return [text]

    def _answer(
        self, method: str, steps: list[str], body: Mapping[str, Any], region: str
    ) -> tuple[int, Any]:
        match method, steps:
            case "GET", ["health"]:
                return 200, {
                    "name": NAME,
                    "pid": os.getpid(),
                    "registry": self._surroundings.registry,
                }
            case "PUT", ["registry"] if isinstance(body.get("host"), str):
                self._surroundings.set_registry(body["host"])
                return 204, None
            case "GET", ["function-host"]:
                return 200, {"url": self._surroundings.function_host}
            case "PUT", ["function-host"] if isinstance(body.get("url"), str):
                self._surroundings.set_function_host(body["url"])
                return 204, None
            case "DELETE", ["function-host"] if isinstance(body.get("url"), str):
                known = self._surroundings.drop_function_host(body["url"])
                return (204, None) if known else (404, {"message": "that host is not registered"})
            case "GET", ["stacks"] if self.engines:
                return 200, self.engines.resources(region)
            case "GET", ["stacks", name, "resources"] if self.engines:
                found = self.engines.resources(region).get(name)
                missing = {"message": f"Stack with id {name} does not exist"}
                return (200, found) if found is not None else (404, missing)
            case (("PUT" | "DELETE"), ["registry" | "function-host"]):
                return 400, {"message": "the body is not the JSON object that this path takes"}
        return 404, {"message": f"{method} {'/'.join(steps)} is nothing here"}


def _body(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        found = json.loads(environ["wsgi.input"].read(length) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
