"""The embedded CLI as programs meet it: ``session``, ``run``, signals, and a daemon that dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.engine.buildkit import daemon
from ci.home import Home

pytestmark = pytest.mark.e2e
CLI = [sys.executable, "-m", "ci.engine.cli"]

HELLO = """
import anyio, dagger
from dagger import dag
async def main():
    async with dagger.connection():
        print(await dag.directory().with_new_file("f", "through dagger").file("f").contents())
anyio.run(main)
"""

ENDLESS = """
import anyio, dagger, sys
from dagger import dag
async def main():
    async with dagger.connection():
        root = dag.host().directory(sys.argv[1])
        print("building", flush=True)
        step = dag.container().with_rootfs(root).with_env_variable("U", sys.argv[2])
        await step.with_exec(["/step", "sleep"]).sync()
anyio.run(main)
"""


@pytest.fixture
def environ(user_home: Home) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("DAGGER_", "_EXPERIMENTAL"))}
    return {**clean, "PIPELINE_HOME": str(user_home.root)}


def run(
    arguments: list[str], environ: dict[str, str], **more: object
) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments, env=environ, capture_output=True, text=True, check=False, timeout=120, **more
    )  # type: ignore[call-overload]


def builds_of(unique: str) -> list[int]:
    """Processes, in containers too, that the build with this text runs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if unique.encode() in text and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def gone(unique: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while builds_of(unique):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_run_gives_a_program_its_session(environ: dict[str, str]) -> None:
    done = run([*CLI, "run", sys.executable, "-c", HELLO], environ)
    assert done.stdout == "through dagger\n"
    assert done.returncode == 0


def test_run_stands_in_for_dagger_on_path(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "dagger").write_text(f'#!/bin/sh\nexec {" ".join(CLI)} "$@"\n')
    (tmp_path / "dagger").chmod(0o755)
    path = f"{tmp_path}:{environ['PATH']}"
    done = run(
        ["dagger", "--progress", "plain", "run", "--", sys.executable, "-c", HELLO],
        {**environ, "PATH": path},
    )
    assert done.stdout == "through dagger\n", done.stderr


@pytest.mark.parametrize("code", [0, 1, 3, 130, 255])
def test_run_passes_the_exit_code_on(environ: dict[str, str], code: int) -> None:
    assert run([*CLI, "run", "sh", "-c", f"exit {code}"], environ).returncode == code


def test_the_sdk_can_start_it(environ: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "cli"
    program.write_text(f'#!/bin/sh\nexec {" ".join(CLI)} "$@"\n')
    program.chmod(0o755)
    done = run(
        [sys.executable, "-c", HELLO], {**environ, "_EXPERIMENTAL_DAGGER_CLI_BIN": str(program)}
    )
    assert done.stdout == "through dagger\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "arguments are required: COMMAND"),
        (["sesion"], "invalid choice: 'sesion'"),
        (["run"], "run: name a program"),
        (["run", "--"], "run: name a program"),
        (["run", "no-such-program"], "No such file or directory"),
        (["--workdir", "/none", "session"], "No such file or directory: '/none'"),
    ],
)
def test_wrong_usage(environ: dict[str, str], arguments: list[str], words: str) -> None:
    done = run([*CLI, *arguments], environ)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_without_anything(environ: dict[str, str], tmp_path: Path) -> None:
    done = run([*CLI, "session"], {**environ, "PIPELINE_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert f"is not installed in {tmp_path}" in done.stderr
    assert "make setup" in done.stderr


@pytest.fixture
def session(environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], dict]]:
    process = subprocess.Popen(
        [*CLI, "session"], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.wait()


def test_a_session_ends_when_its_input_closes(
    session: tuple[subprocess.Popen[str], dict], user_home: Home
) -> None:
    process, where = session
    assert set(where) == {"port", "session_token"}
    scratch = user_home.engine / "sessions"
    assert any(scratch.iterdir())
    assert process.stdin
    process.stdin.close()
    assert process.wait(5) == 0


def test_a_session_ends_by_signal(session: tuple[subprocess.Popen[str], dict]) -> None:
    process, _ = session
    process.terminate()
    assert process.wait(5) == 0


@pytest.fixture
def rootfs(context: Path, tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    root.mkdir()
    shutil.copy2(context / "step", root / "step")
    return root


def started(
    environ: dict[str, str], rootfs: Path, unique: str, *prefix: str
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", ENDLESS, str(rootfs), unique],
        env={**environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any(Path(f"/proc/{pid}/root/step").exists() for pid in builds_of(unique)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the step does not start"
        time.sleep(0.05)
    return process


def test_ctrl_c_ends_everything(environ: dict[str, str], rootfs: Path, tmp_path: Path) -> None:
    """As a terminal does it: the interrupt goes to the whole process group."""
    unique = tmp_path.name + "-ctrl-c"
    process = started(environ, rootfs, unique, *CLI, "run")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(10)
    assert time.monotonic() - began < 5
    assert gone(unique, 5)


def test_terminating_run_ends_everything(
    environ: dict[str, str], rootfs: Path, tmp_path: Path
) -> None:
    unique = tmp_path.name + "-term"
    process = started(environ, rootfs, unique, *CLI, "run")
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert gone(unique, 5)


def test_killing_a_session_leaves_no_build(
    environ: dict[str, str], rootfs: Path, tmp_path: Path
) -> None:
    unique = tmp_path.name + "-kill"
    process = started(environ, rootfs, unique, *CLI, "run")
    process.kill()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(unique, 5)


def test_a_daemon_that_dies_in_the_middle_is_told_and_started_again(
    environ: dict[str, str], home: Home, rootfs: Path, tmp_path: Path, user_home: Home
) -> None:
    (home.root / "python").symlink_to(user_home.root / "python")
    own = {**environ, "PIPELINE_HOME": str(home.root)}
    program = ENDLESS.replace(
        "anyio.run(main)",
        """
async def twice():
    async with dagger.connection():
        root = dag.host().directory(sys.argv[1])
        step = dag.container().with_rootfs(root).with_env_variable("U", sys.argv[2])
        try:
            await step.with_exec(["/step", "sleep"]).sync()
        except dagger.QueryError as error:
            print(error, flush=True)
        print(await root.entries())
anyio.run(twice)""",
    )
    unique = tmp_path.name + "-dies"
    process = subprocess.Popen(
        [*CLI, "run", sys.executable, "-c", program, str(rootfs), unique],
        env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (home.engine / "buildkitd.sock").exists() or not any(
        Path(f"/proc/{pid}/root/step").exists() for pid in builds_of(unique)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running = daemon.status(home)
    assert running
    os.kill(running.pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=90)
    try:
        assert "BuildKit's daemon died in the middle of the work" in out
        assert "→" in out
        assert "['step']" in out
        assert process.returncode == 0
    finally:
        daemon.stop(home, force=True)
