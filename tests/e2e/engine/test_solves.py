"""How many solves an API call costs: counted at the program that makes them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.engine.buildkit import daemon
from ci.home import Home
from ci.local.registry import Registry

pytestmark = pytest.mark.e2e

PROGRAM = """
import anyio, dagger, sys
from dagger import dag
async def main():
    async with dagger.connection():
        built = dag.host().directory(sys.argv[1]).docker_build().with_label("a", "b")
        if sys.argv[3] == "publish":
            await built.publish(sys.argv[2])
        elif sys.argv[3] == "sync":
            await built.sync()
        else:
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(built.file("/step").size)
anyio.run(main)
"""


@pytest.mark.parametrize(
    ("what", "solves"),
    [
        ("publish", [("dockerfile.v0", "push=true")]),
        ("sync", [("dockerfile.v0", "")]),
        # The image's configuration, its LLB, and the file; five equal questions are one.
        ("file", [("dockerfile.v0", "type=image"), ("dockerfile.v0", ""), ("", "type=tar")]),
    ],
)
def test_solves(
    home: Home,
    user_home: Home,
    context: Path,
    local_registry: Registry,
    tmp_path: Path,
    what: str,
    solves: list[tuple[str, str]],
) -> None:
    (home.root / "python").symlink_to(user_home.root / "python")
    (home.root / "bin").unlink()
    (home.root / "bin").mkdir()
    for program in user_home.bin.iterdir():
        if program.name != "buildctl":
            (home.bin / program.name).symlink_to(program)
    calls = tmp_path / "calls"
    (home.bin / "buildctl").write_text(
        f'#!/bin/sh\nprintf "%s\\0" "$@" >> {calls}\necho >> {calls}\n'
        f'exec {user_home.bin}/buildctl "$@"\n'
    )
    (home.bin / "buildctl").chmod(0o755)
    source = tmp_path / "source"
    source.mkdir()
    (source / "step").hardlink_to(context / "step")
    (source / "Dockerfile").write_text("FROM scratch\nCOPY step /step\n")
    address = f"{local_registry.host}/solves/x:1"
    try:
        subprocess.run(
            [sys.executable, "-m", "ci.engine.cli", "-s", "run", sys.executable, "-c", PROGRAM,
             str(source), address, what],
            env={**os.environ, "PIPELINE_HOME": str(home.root)}, check=True, timeout=120,
        )  # fmt: skip
    finally:
        daemon.stop(home, force=True)
    made = [
        line.split("\0") for line in calls.read_text().splitlines() if "\0build\0" in f"\0{line}"
    ]
    assert len(made) == len(solves), json.dumps(made, indent=1)
    for frontend, output in solves:
        assert any(
            (not frontend or frontend in call) and any(output in word for word in call)
            for call in made
        ), json.dumps(made, indent=1)
