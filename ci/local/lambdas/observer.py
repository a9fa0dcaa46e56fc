"""The helper that stands before a function's entry point, and the host's end of its connection.

A Dagger engine tells neither how much memory a container takes nor, of one that is ended, what it
printed. So a small static program of this project starts the function and tells both; see
``observer/main.go``. Images need nothing for it, not even a shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ci.daemons import locked
from ci.errors import InputError
from ci.home import Home
from ci.tools import Tool

PROGRAM = "observer"
SOURCE = Path(__file__).with_name("observer")
MARK_SECONDS = 2.0
"""How long the helper may take to answer: it is asked only while its function runs."""


def directory(home: Home) -> Path:
    """Where the compiled helper lies, alone; another one for each state of its source."""
    sources = sorted([*SOURCE.glob("*.go"), *SOURCE.glob("go.*")])
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    return home.local / "observer" / digest[:16]


def missing(home: Home) -> list[Tool]:
    """What ``install`` would install."""
    if (directory(home) / PROGRAM).is_file():
        return []
    return [Tool(PROGRAM, "watches functions in their containers, compiled from this repository")]


def install(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Compile the helper where it is missing. Raises InputError without a Go that can."""
    if not missing(home):
        return
    target = directory(home)
    target.mkdir(parents=True, exist_ok=True)
    with locked(home.local / "observer" / "lock"):
        if tools := missing(home):
            say(f"{PROGRAM}: {tools[0].why}")
            _compile(target, environ)


def _compile(target: Path, environ: Mapping[str, str]) -> None:
    fix = "install Go 1.21 or newer from https://go.dev/dl/ and put it on PATH"
    if not (go := shutil.which("go", path=environ.get("PATH"))):
        raise InputError("Go", f"is not on PATH; the {PROGRAM} is compiled with it", fix)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
    done = subprocess.run(
        [go, "build", *flags, "-o", str(draft), "."],
        cwd=SOURCE,
        # GOWORK: a go.work in a directory above is none of ours.
        env={**environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "".join(f"\n    {line}" for line in done.stderr.strip().splitlines()[-6:])
        raise InputError(f"`go build` in {SOURCE}", f"failed:{last}", fix)
    draft.replace(target / PROGRAM)


class Watch:
    """What the helper of one container tells.

    ``connected`` is set once the container runs. ``peak_kib`` is the largest sum of its processes'
    memory so far. ``ended`` is set once no more will be told; ``exit_code`` and ``fault``, why the
    entry point could not be started, as far as they were told until then.
    """

    def __init__(self, printed: Callable[[bytes], None]) -> None:
        self.port = 0
        self.connected = asyncio.Event()
        self.ended = asyncio.Event()
        self.peak_kib = 0
        self.exit_code: int | None = None
        self.fault = ""
        self._printed = printed
        self._answers: list[asyncio.Future[None]] = []
        self._writer: asyncio.StreamWriter | None = None

    async def mark(self) -> None:
        """Returns when all is known that was printed, and all memory taken, until now."""
        if self._writer is None or self.ended.is_set():
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._writer.write(b"m")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), MARK_SECONDS)

    def close(self) -> None:
        """Ends the container: its helper kills all in it when the connection goes."""
        if self._writer:
            self._writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A Dagger engine tries the port before it lets a container at it, and says nothing.
        greeting = b""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            greeting = await reader.readexactly(5)
        if self._writer or greeting[:1] != b"h":
            writer.close()
            return
        self._writer = writer
        self.connected.set()
        try:
            while True:
                header = await reader.readexactly(5)
                payload = await reader.readexactly(int.from_bytes(header[1:], "big"))
                self._take(chr(header[0]), payload)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the container has ended
        finally:
            self._over()
            writer.close()

    def _take(self, kind: str, payload: bytes) -> None:
        match kind:
            case "o":
                self._printed(payload)
            case "p":
                self.peak_kib = int(payload)
                if self._answers:
                    self._settle(self._answers.pop(0))
            case "x":
                self.exit_code = int(payload)
            case "e":
                self.fault = payload.decode(errors="replace")

    def _over(self) -> None:
        self.ended.set()
        for answer in self._answers:
            self._settle(answer)
        self._answers.clear()

    @staticmethod
    def _settle(answer: asyncio.Future[None]) -> None:
        if not answer.done():
            answer.set_result(None)


@asynccontextmanager
async def watching(printed: Callable[[bytes], None]) -> AsyncIterator[Watch]:
    """Listen, on a free port of 127.0.0.1, to the helper of one container."""
    watch = Watch(printed)
    server = await asyncio.start_server(watch._serve, "127.0.0.1", 0)
    watch.port = server.sockets[0].getsockname()[1]
    try:
        yield watch
    finally:
        watch.close()
        server.close()
        watch._over()
