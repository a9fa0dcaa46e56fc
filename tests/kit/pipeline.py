"""The pipeline as its users run it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "ci/main.py")]
# Nothing of the machine that the tests run on may decide what they see.
_OF_CI = ("CODEBUILD_", "GITHUB_", "GITLAB_", "CI_", "JENKINS_", "PIPELINE_", "DAGGER_SESSION_")


def surroundings(**more: str) -> dict[str, str]:
    """This process's environment without a CI system, the home of set-up kept."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_OF_CI)}
    if home := os.environ.get("PIPELINE_HOME"):
        environ["PIPELINE_HOME"] = home
    return environ | more


@dataclass(frozen=True)
class Run:
    """What a run left: exit code, what it printed, its directory of results."""

    code: int
    out: str
    err: str
    results: Path

    @property
    def report(self) -> dict[str, Any]:
        document = json.loads((self.results / "report.json").read_text())
        assert isinstance(document, dict)
        return document

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        return {function["name"]: function for function in self.report["functions"]}

    def log(self, name: str) -> str:
        return (self.results / "logs" / f"{name}.log").read_text()


def run(results: Path, *argv: str, cwd: Path = ROOT, **environ: str) -> Run:
    """Runs the pipeline to its end."""
    report = [] if argv[0] == "engine" else ["--report", str(results)]
    done = subprocess.run(
        [*COMMAND, *argv, *report], cwd=cwd, env=surroundings(**environ),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return Run(done.returncode, done.stdout, done.stderr, results)


def begin(results: Path, *argv: str, **environ: str) -> subprocess.Popen[str]:
    """Starts the pipeline; its group is its own, as a terminal's job."""
    return subprocess.Popen(
        [*COMMAND, *argv, "--report", str(results)], cwd=ROOT, env=surroundings(**environ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def processes_with(environ: Mapping[str, str]) -> list[str]:
    """Command lines of the processes that carry these environment variables."""
    wanted = {f"{name}={value}".encode() for name, value in environ.items()}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((process / "environ").read_bytes().split(b"\0")):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def running(command: str) -> bool:
    """Whether a process runs with exactly these words, in a container too."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False
