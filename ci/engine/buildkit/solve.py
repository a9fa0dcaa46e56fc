"""One solve: a ``buildctl build`` process, its progress, its errors.

Nothing secret is on the command line: secret values and registry passwords travel in the
environment of the process, which only its owner can read.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ci.engine.buildkit.redact import Secrets, Stream
from ci.engine.graph.llb import Definition
from ci.engine.graph.steps import command_of

ERROR_OUTPUT = 100 * 1024
"""Bytes of stdout and of stderr that an error carries at most, the last ones, as in Dagger."""


_SETPRIV = shutil.which("setpriv")
_DIES_WITH_US = (_SETPRIV, "--pdeathsig", "KILL", "--") if _SETPRIV else ()
"""A session that is killed must not leave builds behind (util-linux, PR_SET_PDEATHSIG)."""


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


@dataclass
class Buildctl:
    """How solves reach the daemon, and what they all need to know."""

    program: Path
    address: str
    environ: Mapping[str, str]
    secrets: Secrets
    registry_auth: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host → (user name, name of the secret that is the password)."""
    listen: Callable[[], Listener | None] = lambda: None
    """Makes the listener of one solve."""
    before: Callable[[], object] = lambda: None
    """Called before a solve after one that lost the daemon: starts it again."""
    diagnose: Callable[[str], Exception | None] = lambda said: None
    """What is wrong with the daemon itself after a solve failed with these words."""
    lost: bool = False

    async def solve(
        self,
        arguments: Iterable[str],
        definition: Definition | None = None,
        *,
        locals_: Mapping[str, Path] | None = None,
        secrets: Iterable[str] = (),
        quiet: bool = False,
    ) -> bytes:
        """Runs ``buildctl build`` and returns what it wrote to standard output.

        ``quiet`` solves only read what another solve made, or ask a question: they tell no
        progress. Raises SolveError, ExecFailure or EngineGone. Cancelling it ends the process,
        and with it the work.
        """
        command = [str(self.program), "--addr", self.address, "build", "--progress=rawjson"]
        environ = self._environ()
        read = dict(locals_ or {}) | (definition.locals if definition else {})
        for name, path in read.items():
            command += ["--local", f"{name}={path}"]
        needed = {*secrets, *(definition.secrets if definition else ())}
        for number, name in enumerate(sorted(needed)):
            variable = f"STEP_SECRET_{number}"
            environ[variable] = self.secrets.value(name)
            command += ["--secret", csv_row(f"id={name}", f"env={variable}")]
        if self.lost:
            await asyncio.to_thread(self.before)
            self.lost = False
        process = await asyncio.create_subprocess_exec(
            *_DIES_WITH_US,
            *command,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
            limit=64 * 1024 * 1024,
            # Ctrl-C in the terminal must not end builds before their session decides to.
            start_new_session=True,
        )
        progress = _Progress(
            self.secrets,
            None if quiet else self.listen(),
        )
        try:
            stdout, _, _ = await asyncio.gather(
                _read_all(process), progress.follow(process), _feed(process, definition)
            )
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await asyncio.shield(process.wait())
            progress.close()
        if code:
            error = progress.error()
            if not isinstance(error, ExecFailure) and (reason := self.diagnose(str(error))):
                self.lost = True
                raise EngineGone(str(reason)) from error
            raise error
        return stdout

    async def image_config(self, digest: str) -> dict[str, Any]:
        """The image configuration (OCI image spec, "Image Configuration") with this digest."""
        process = await asyncio.create_subprocess_exec(
            str(self.program), "--addr", self.address, "debug", "get", digest,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ(),
            start_new_session=True,
        )  # fmt: skip
        stdout, stderr = await process.communicate()
        if process.returncode:
            raise SolveError(f"cannot read image configuration {digest}: {stderr.decode()}")
        document: dict[str, Any] = json.loads(stdout)
        return document

    def _environ(self) -> dict[str, str]:
        environ = {
            name: self.environ[name]
            for name in ("PATH", "HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "TMPDIR")
            if name in self.environ
        }
        if self.registry_auth:
            auths = {
                host: {
                    "auth": base64.b64encode(f"{user}:{self.secrets.value(name)}".encode()).decode()
                }
                for host, (user, name) in self.registry_auth.items()
            }
            environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": auths})
        return environ


def csv_row(*fields: str) -> str:
    """Options as ``buildctl`` takes them: one line of CSV, so that values may hold commas."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(fields)
    return row.getvalue()


async def _read_all(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout  # noqa: S101 - a pipe by construction
    return await process.stdout.read()


async def _feed(process: asyncio.subprocess.Process, definition: Definition | None) -> None:
    assert process.stdin  # noqa: S101 - a pipe by construction
    try:
        if definition:
            process.stdin.write(definition.bytes)
            await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it ended early, and says why on standard error


class _Progress:
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


def _seconds(started: str | None, completed: str) -> float:
    """Between two RFC 3339 times; BuildKit writes up to nine digits of a second."""
    if not started:
        return 0.0
    return max(0.0, _time(completed) - _time(started))


def _time(text: str) -> float:
    from datetime import datetime

    whole, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    fraction = float(f"0.{digits[0]}") if digits and digits[0] else 0.0
    zone = re.sub(r"^\d*", "", rest) if rest else ""
    moment = datetime.fromisoformat(whole + zone) if zone else datetime.fromisoformat(whole)
    return moment.timestamp() + fraction
