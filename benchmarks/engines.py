"""What the contenders build on: how it gets ready, is emptied and comes to rest."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Protocol

from benchmarks import tree
from benchmarks.docker import Docker
from benchmarks.lab import Lab, digest
from benchmarks.peers import Unavailable
from benchmarks.processes import environment
from ci.errors import PipelineError
from ci.local import standin

__all__ = ["BuildKit", "DaggerEngine", "Docker", "Engine", "Unavailable"]


class Engine(Protocol):
    """One engine, which several contenders may share."""

    def prepare(self) -> str:
        """Once, before the first run; its name and version. Raises Unavailable."""

    def empty(self) -> bool:
        """Running, with an empty cache. False where the cache may not be emptied."""

    def between(self, tags: Sequence[str]) -> None:
        """After a run that pushed ``tags``, not timed."""

    def rest(self) -> None:
        """Uses no processor time until it is emptied again."""


class BuildKit:
    """The daemon of the embedded engine, with a state of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def prepare(self) -> str:
        program = str(self.lab.home.bin / "buildkitd")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return f"BuildKit {said.stdout.split()[2]}"

    def empty(self) -> bool:
        self.lab.empty_engine()
        return True

    def between(self, tags: Sequence[str]) -> None:
        """Nothing to do."""

    def rest(self) -> None:
        self.lab.stop_engine()


class DaggerEngine:
    """The engine behind the ``dagger`` CLI on PATH. It is the user's own: its cache is emptied
    only where ``may_prune`` says so."""

    def __init__(self, lab: Lab, *, may_prune: bool) -> None:
        self.lab, self.may_prune = lab, may_prune
        self.program = shutil.which("dagger") or ""

    def prepare(self) -> str:
        if not self.program:
            raise Unavailable("there is no `dagger` CLI on PATH")
        self.lab.empty_registry()
        try:
            version, reference = asyncio.run(self._probe())
        except (PipelineError, OSError, ValueError) as error:
            raise Unavailable(str(error)) from error
        wanted = digest(self.lab.upstream, standin.REPOSITORY, standin.TAG)
        if not reference.endswith(str(wanted)):
            raise Unavailable(
                f"its engine pulls another {tree.BASE} ({reference}): its engine.json has to name "
                f"{self.lab.upstream} as the mirror of public.ecr.aws"
            )
        return f"Dagger {version}"

    def empty(self) -> bool:
        if not self.may_prune:
            return False
        prune = [self.program, "--silent", "core", "engine", "local-cache", "prune"]
        # What a session held stays for a moment after its end: hence twice.
        for pause in (3, 0):
            done = subprocess.run(
                prune,
                env=environment(os.environ),
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            if done.returncode:
                raise Unavailable(f"its cache cannot be emptied: {done.stderr.strip()}")
            time.sleep(pause)
        return True

    def between(self, tags: Sequence[str]) -> None:
        """Nothing to do."""

    def rest(self) -> None:
        """It was running before we came, and goes on."""

    async def _probe(self) -> tuple[str, str]:
        """The engine's version and the digest of its base image, once it has pushed one."""
        import httpx

        from ci.engine.session import open_session

        query = (
            f'{{container{{from(address:"{tree.BASE}"){{imageRef '
            f'publish(address:"{self.lab.registry}/probe:latest")}}}}}}'
        )
        environ = environment(os.environ)
        async with open_session("dagger", self.lab.home, environ) as session:
            url = f"http://127.0.0.1:{session.port}/query"
            async with httpx.AsyncClient(
                auth=(session.token, ""), timeout=120, trust_env=False
            ) as client:
                answer = (await client.post(url, json={"query": query})).json()
        if errors := answer.get("errors"):
            raise ValueError(f"its engine cannot build here: {errors[0].get('message')}")
        return session.version, answer["data"]["container"]["from"]["imageRef"]
