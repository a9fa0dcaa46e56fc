"""What ``buildctl --progress=rawjson`` tells of a solve: events while it runs, an error at the end.

One JSON object a line (``vertexes``, ``logs`` in base64), plain text for the final error. Both
leave here without secrets.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ci.engine.buildkit.redact import Secrets, Stream

ERROR_OUTPUT = 100 * 1024
"""Bytes of stdout and of stderr that an error carries at most, the last ones, as in Dagger."""


SHIM = "/.dagger-embedded-shim"
"""Where a withExec step finds the program that runs its command; see ``shim/main.go``."""


class SolveError(Exception):
    """BuildKit could not do it; the message is its own, without secrets."""


class ExecFailure(SolveError):
    """A step's process ended with an exit code that was not expected."""

    def __init__(self, message: str, cmd: list[str], code: int, stdout: str, stderr: str) -> None:
        super().__init__(message)
        self.cmd = cmd
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class EngineGone(SolveError):
    """The BuildKit daemon died in the middle, or its disk is full."""


@dataclass(frozen=True)
class Event:
    """Progress of one step, as BuildKit tells it.

    ``kind`` is ``start``, ``log``, ``done``, ``cached`` or ``error``; ``stream`` 1 is stdout and
    2 stderr; ``seconds`` is the duration of a step that ended.
    """

    kind: str
    step: str
    name: str
    data: bytes = b""
    stream: int = 0
    seconds: float = 0.0


class Listener(Protocol):
    """Receives every event of a solve, in order, and hears when the solve is over."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Progress:
    """Follows ``--progress=rawjson``: one JSON object a line, plain text for the final error."""

    def __init__(self, secrets: Secrets, listener: Listener | None) -> None:
        self._secrets = secrets
        self._listener = listener
        self._names: dict[str, str] = {}
        self._streams: dict[tuple[str, int], Stream] = {}
        self._tails: dict[tuple[str, int], tuple[bytes, int]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._failed = ""
        self._text: list[str] = []

    async def follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr  # noqa: S101 - a pipe by construction
        async for line in process.stderr:
            if line.startswith(b"{"):
                try:
                    self._update(json.loads(line))
                    continue
                except ValueError:
                    pass
            self._text.append(line.decode(errors="replace"))

    def _update(self, status: dict[str, Any]) -> None:
        for vertex in status.get("vertexes") or ():
            self._vertex(vertex)
        for log in status.get("logs") or ():
            step, number = log["vertex"], log.get("stream", 1)
            if (step, number) not in self._streams:
                self._streams[step, number] = self._stream(step, number)
            self._streams[step, number].feed(base64.b64decode(log.get("data") or ""))

    def _vertex(self, vertex: dict[str, Any]) -> None:
        step, name = vertex["digest"], self._secrets.text(vertex.get("name", ""))
        self._names[step] = name
        if vertex.get("started"):
            self._tell("start", step)
        if vertex.get("cached"):
            self._tell("cached", step)
        if not vertex.get("completed"):
            return
        for (owner, _), stream in self._streams.items():
            if owner == step:
                stream.close()
        seconds = _seconds(vertex.get("started"), vertex["completed"])
        if error := vertex.get("error"):
            if not error.endswith("context canceled") or not self._failed:
                self._failed = step
            self._tell("error", step, data=self._secrets.clean(error.encode()), seconds=seconds)
        else:
            if not vertex.get("cached"):
                self._tell("done", step, seconds=seconds)
            for number in (1, 2):
                self._tails.pop((step, number), None)

    def _tell(self, kind: str, step: str, *, data: bytes = b"", seconds: float = 0.0) -> None:
        if (kind, step) in self._seen or not self._listener:
            return
        self._seen.add((kind, step))
        self._listener(Event(kind, step, self._names[step], data, seconds=seconds))

    def _stream(self, step: str, number: int) -> Stream:
        def emit(data: bytes) -> None:
            tail, size = self._tails.get((step, number), (b"", 0))
            self._tails[step, number] = (tail + data)[-ERROR_OUTPUT:], size + len(data)
            if self._listener:
                name = self._names.get(step, "")
                self._listener(Event("log", step, name, data, stream=number))

        return Stream(self._secrets, emit)

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()
        if self._listener:
            self._listener.close()

    def error(self) -> SolveError:
        text = self._secrets.text("".join(self._text)).strip()
        message = (
            text.partition("error: ")[2].strip().removeprefix("failed to solve: ")
            or "buildctl ended without a message"
        )
        exited = re.search(
            r'process (".*") did not complete successfully: exit code: (\d+)', message
        )
        if exited and self._failed:
            code = int(exited[2])
            command = command_of(ast.literal_eval(exited[1]))  # quoted as Go does
            return ExecFailure(f"exit code: {code}", command, code, self._tail(1), self._tail(2))
        missing = r'"(/[^"]*)": not found'
        return SolveError(re.sub(missing, r"stat \1: no such file or directory", message))

    def _tail(self, number: int) -> str:
        tail, size = self._tails.get((self._failed, number), (b"", 0))
        text = tail.decode(errors="replace").strip()
        omitted = size - len(tail)
        return f"[omitting {omitted} bytes]...{text}" if omitted else text


def command_of(process: str) -> list[str]:
    """The command of a failed step, from the process that BuildKit names, joined with blanks."""
    program, _, rest = process.partition(" ")
    if program == SHIM:
        command: list[str] = json.loads(rest)["args"]
        return command
    shell = "/bin/sh -c "  # of a Dockerfile's RUN
    return [*shell.split(), process[len(shell) :]] if process.startswith(shell) else process.split()


def _seconds(started: str | None, completed: str) -> float:
    """Between two RFC 3339 times; BuildKit writes up to nine digits of a second."""
    if not started:
        return 0.0
    return max(0.0, _time(completed) - _time(started))


def _time(text: str) -> float:
    whole, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    fraction = float(f"0.{digits[0]}") if digits and digits[0] else 0.0
    zone = re.sub(r"^\d*", "", rest) if rest else ""
    moment = datetime.fromisoformat(whole + zone) if zone else datetime.fromisoformat(whole)
    return moment.timestamp() + fraction
