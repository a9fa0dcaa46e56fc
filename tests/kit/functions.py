"""Functions as the function host runs them, without a local cloud around them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ci.home import Home
from ci.local.lambdas import observer
from ci.local.lambdas.environment import Surroundings
from ci.local.lambdas.fleet import Fleet, Limits
from ci.local.lambdas.fleet import running as fleet_running
from ci.local.lambdas.functions import Function
from ci.local.lambdas.runtime_api import Result


async def variant(image: str, module: str, code: str) -> str:
    """The image with one more module in it."""
    from dagger import dag

    context = dag.directory().with_new_file("Dockerfile", f"FROM {image}\nCOPY {module}.py .\n")
    built = context.with_new_file(f"{module}.py", code).docker_build()
    return await built.publish(f"{image.partition('@')[0].rpartition(':')[0]}-{module}:latest")


class Running:
    """A function that answers."""

    def __init__(self, function: Function, fleet: Fleet, logs: Path) -> None:
        self._function, self._fleet, self._logs = function, fleet, logs

    async def invoke(self, event: object) -> Result:
        return await self._fleet.invoke(self._function, json.dumps(event).encode())

    def log(self) -> str:
        """All that its environments logged, in the order in which they began."""
        files = (self._logs / self._function.name).glob("*.log")
        return "".join(file.read_text() for file in sorted(files, key=lambda f: f.stat().st_ctime))


def surroundings(logs: Path, **limits: float) -> Surroundings:
    """Those of this user, the helper compiled where it is missing."""
    home = Home.from_environ(os.environ)
    observer.install(home, os.environ, print)
    return replace(Surroundings(observer.directory(home), logs), **limits)


@asynccontextmanager
async def running(
    function: Function, *, limits: Limits | None = None, **seconds: float
) -> AsyncIterator[Running]:
    """A function in one environment at a time, unless ``limits`` allow for more."""
    with tempfile.TemporaryDirectory() as directory:
        around = surroundings(Path(directory), **seconds)
        async with fleet_running(around, limits or Limits(of_function=1)) as fleet:
            yield Running(function, fleet, Path(directory))
