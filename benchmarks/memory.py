"""How much memory the embedded engine's session and the pipeline need when there is much to do.

The peak of resident memory (VmHWM of proc(5)) of single processes: of the session server while
builds are in flight, all asked for at once; and of the pipeline while it builds as many functions.
What runs beside them, BuildKit's daemon and the processes that talk to it, is shown for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import lab, machine, processes
from benchmarks.contenders import HERE, Build, pipeline
from benchmarks.processes import Failed, environment
from ci.engine.buildkit import daemon
from ci.errors import PipelineError
from ci.home import Home

SESSION_MB, PIPELINE_MB = 150, 300
RUN_SECONDS = 1200.0


class Watch:
    """Looks at a process and its children several times a second until told to stop.

    ``peak_mb`` is its own peak, ``children`` the most that there were of a program at once and
    ``children_mb`` the most that those held together (proportional shares).
    """

    def __init__(self, pid: int, program: str) -> None:
        self.pid, self.program = pid, program
        self.peak_mb = self.children_mb = 0.0
        self.children = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.peak_mb = max(self.peak_mb, megabytes(self.pid, "VmHWM"))
            found = [pid for pid in children(self.pid) if name(pid) == self.program]
            self.children = max(self.children, len(found))
            self.children_mb = max(self.children_mb, sum(map(proportional_mb, found)))
            self._over.wait(0.3)


def megabytes(pid: int, field: str) -> float:
    """A field of /proc/PID/status in MB (10**6 bytes); 0 where the process is gone."""
    return _kilobytes(Path(f"/proc/{pid}/status"), field) * 1024 / 1e6


def proportional_mb(pid: int) -> float:
    """What a process holds, pages that it shares counted in part."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") * 1024 / 1e6


def name(pid: int) -> str:
    """The program's name; blank where the process is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """The direct children of a process, whichever of its threads made them."""
    try:
        lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def _kilobytes(file: Path, field: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(":")
            if key == field:
                return int(value.split()[0])
    except OSError:
        pass
    return 0


def of_session(place: lab.Lab) -> Watch:
    """The session server while it builds and pushes everything at once, one image before."""
    place.empty_engine()
    place.empty_registry()
    with _session(place) as (server, client), Watch(server.pid, "buildctl") as watch:
        asyncio.run(_everything(place, client))
    place.digests(["latest"])
    return watch


async def _everything(place: lab.Lab, client: httpx.AsyncClient) -> None:
    """Asked without the SDK, which holds back what is more than 100 at once."""

    async def push(name: str) -> None:
        argument = f'{{name:"ECR_COMMON_DATALAKE_REPO_URL",value:"{place.layer}"}}'
        query = (
            f'{{host{{directory(path:"{place.source}/dockerfiles/{name}"){{'
            f"dockerBuild(buildArgs:[{argument}]){{"
            f'publish(address:"{place.registry}/stg-{name}:latest")}}}}}}}}'
        )
        answer = (await client.post("/query", json={"query": query})).json()
        if answer.get("errors"):
            raise Failed(f"{name}: {answer['errors'][0]['message']}")

    async with client:
        first, *others = place.functions
        await push(first)
        await asyncio.gather(*map(push, others))


def of_pipeline(place: lab.Lab) -> Watch:
    """The pipeline, building and pushing everything."""
    place.empty_engine()
    place.empty_registry()
    build = Build(1)
    command = pipeline(place, "embedded", build)
    log = place.root / "pipeline.log"
    with log.open("wb") as out:
        process = processes.started(command, out)
    try:
        with Watch(process.pid, "python") as watch:
            code = process.wait(RUN_SECONDS)
    except BaseException:
        processes.end_group(process)
        raise
    if code:
        raise Failed(processes.tail(log))
    place.digests(build.tags)
    return watch


@contextmanager
def _session(place: lab.Lab) -> Iterator[tuple[subprocess.Popen[str], httpx.AsyncClient]]:
    """A running session server, and a client of it that holds nothing back."""
    with (place.root / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ci.engine.cli", "session"],
            cwd=HERE.parent,
            env=environment(os.environ) | {"PIPELINE_HOME": str(place.home.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with server:  # closes its input in the end, which ends it
        where = json.loads(server.stdout.readline() if server.stdout else "")
        yield (
            server,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{where['port']}",
                auth=(where["session_token"], ""),
                limits=httpx.Limits(max_connections=None),
                timeout=RUN_SECONDS,
                trust_env=False,
            ),
        )


def main() -> int:
    """0 within the limits; 1 not; 2 set-up lacks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--builds", type=int, default=200, metavar="N", help="at once (200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options = parser.parse_args()
    found = machine.describe()
    print(f"{machine.sentence(found)}.", flush=True)
    try:
        begun = time.monotonic()
        with lab.opened(Home.from_environ(os.environ), options.builds + 1) as place:
            session = of_session(place)
            buildkit = daemon.status(place.home)
            daemon_mb = megabytes(buildkit.pid, "VmHWM") if buildkit else 0.0
            _tell("session server, peak", session.peak_mb, SESSION_MB)
            print(
                f"  with up to {session.children} buildctl processes at once, which held "
                f"{session.children_mb:.0f} MB, and BuildKit's daemon, peak {daemon_mb:.0f} MB",
                flush=True,
            )
            run = of_pipeline(place)
            _tell(f"pipeline with {options.builds + 1} functions, peak", run.peak_mb, PIPELINE_MB)
    except (PipelineError, Failed, lab.WrongResult) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"took {time.monotonic() - begun:.0f} s")
    if options.json:
        figures = {
            "machine": found,
            "builds": options.builds,
            "session_peak_mb": round(session.peak_mb, 1),
            "buildctl_at_once": session.children,
            "buildctl_mb": round(session.children_mb, 1),
            "buildkitd_peak_mb": round(daemon_mb, 1),
            "pipeline_peak_mb": round(run.peak_mb, 1),
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(session.peak_mb > SESSION_MB or run.peak_mb > PIPELINE_MB)


def _tell(what: str, used: float, limit: float) -> None:
    print(f"{what}: {used:.0f} MB (limit {limit:.0f})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
