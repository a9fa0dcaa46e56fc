"""The shell of a build: one instance for all its commands, as buildspecs of version 0.2 have it.

Commands may change directory, set variables and export them for those that follow. Source:
CodeBuild User Guide, "Buildspec versions".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import anyio

INTERRUPT_SECONDS = 3.0
"""How long a build may take to end by an interrupt before it is killed."""
_AFTER_END = 5.0
"""Seconds that a program which outlives its build may hold the build's output open."""
# Its standard input is a socket: names of files with commands come in, exit codes go out.
_DRIVER = (
    'while IFS= read -r CODEBUILD_COMMAND_FILE; do . "$CODEBUILD_COMMAND_FILE" </dev/null; '
    "printf '%s\\n' \"$?\" >&0; done"
)


class Shell:
    """A shell that runs commands; ``close`` ends it and everything that it started.

    ``log`` gets all output, ``heard`` every line of it.
    """

    def __init__(
        self,
        program: str,
        directory: Path,
        environ: Mapping[str, str],
        scratch: Path,
        log: IO[bytes],
        heard: Callable[[str], None],
    ) -> None:
        self._program, self._directory = program, directory
        self._environ, self._scratch = dict(environ), scratch
        self._log, self._heard = log, heard
        self._process: asyncio.subprocess.Process | None = None
        self._commands = 0

    def say(self, text: str) -> None:
        """A line of the build host's own in the log."""
        self._log.write(f"[Container] {text}\n".encode())
        self._log.flush()

    async def run(self, command: str) -> int:
        """Runs one command in the shell; its exit code.

        A shell that the command ends is followed by a new one, which knows nothing of what was
        set before.
        """
        if self._process is None:
            await self._start()
        self._commands += 1
        file = self._scratch / f"command-{self._commands}"
        file.write_text(f"{command}\n")
        self._writer.write(f"{file}\n".encode())
        await self._writer.drain()
        with contextlib.suppress(ConnectionError):
            if answer := await self._reader.readline():
                return int(answer)
        return await self._ended()

    async def environment(self) -> dict[str, str]:
        """What the commands have exported."""
        file = self._scratch / "environment"
        if await self.run(f"env -0 >'{file}'"):
            return {}
        pairs = file.read_bytes().decode(errors="replace").split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    async def close(self) -> None:
        """Ends the shell and its children: by an interrupt, then by force."""
        process = self._process
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            self._writer.close()
            try:
                # An idle shell ends with its input; a busy one and its children by the interrupt.
                if process.returncode is None:
                    _signal(process, signal.SIGINT)
                await asyncio.wait_for(process.wait(), INTERRUPT_SECONDS)
            except TimeoutError:
                pass
            _signal(process, signal.SIGKILL)
            await self._ended()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                self._program, "-c", _DRIVER,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._directory, env=self._environ,
                # Ctrl-C is ours to handle: it ends the build, and the build's children with it.
                start_new_session=True,
            )  # fmt: skip
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._relay = asyncio.create_task(self._relayed(self._process))

    async def _ended(self) -> int:
        process, self._process = self._process, None
        assert process  # noqa: S101 - asked only while there is one
        code = await process.wait()
        self._writer.close()
        # A daemon that the build leaves behind may keep the pipe open.
        await asyncio.wait([self._relay], timeout=_AFTER_END)
        self._relay.cancel()
        return code if code >= 0 else 128 - code

    async def _relayed(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout  # noqa: S101 - a pipe by construction
        rest = b""
        while piece := await process.stdout.read(65536):
            self._log.write(piece)
            self._log.flush()
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._heard(line.decode(errors="replace").rstrip("\r"))


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signals the whole group, also when its first process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
