"""One solve: a ``buildctl build`` process, its progress, its errors.

Nothing secret is on the command line: secret values and registry passwords travel in the
environment of the process, which only its owner can read.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.engine.buildkit.llb import Definition
from ci.engine.buildkit.rawjson import EngineGone, ExecFailure, Listener, Progress, SolveError
from ci.engine.buildkit.redact import Secrets

_SETPRIV = shutil.which("setpriv")
_DIES_WITH_US = (_SETPRIV, "--pdeathsig", "KILL", "--") if _SETPRIV else ()
"""A session that is killed must not leave builds behind (util-linux, PR_SET_PDEATHSIG)."""


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
        progress = Progress(
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
