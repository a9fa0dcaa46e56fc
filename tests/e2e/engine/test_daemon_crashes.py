"""Daemons that die, hang or find their disk full; and what they leave behind."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ci.daemons import Process
from ci.engine.buildkit import daemon, procfs
from ci.engine.buildkit.daemon_config import Paths
from ci.errors import InputError, PipelineError
from ci.home import Home

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="BuildKit's daemon needs root"),
]


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


# --- crashes and leftovers -----------------------------------------------------------------------


def program(process: Process) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")[0]


def test_a_killed_daemon_is_replaced_and_its_containers_are_ended(home, build, buildctl):
    first = daemon.ensure(home, os.environ)
    token = f"of-{first.pid}-{time.time()}"
    with buildctl("sleep", token) as child:
        wait_until(lambda: "/step" in map(program, procfs.find_by_argument(token)))
        (step,) = [each for each in procfs.find_by_argument(token) if program(each) == "/step"]
        os.kill(first.pid, signal.SIGKILL)
        child.stderr.read()
    assert child.returncode != 0
    assert step.alive()  # a build step outlives the daemon that ran it
    explained = daemon.diagnose(home, "connection refused")
    assert "died in the middle" in str(explained)

    second = daemon.ensure(home, os.environ)
    assert second.pid != first.pid
    assert not step.alive()
    assert procfs.mounts_below(home.engine) == []
    build("surroundings")


def test_a_stale_socket_and_a_recycled_pid_do_no_harm(home):
    paths = Paths.of(home.engine)
    daemon.ensure(home, os.environ)
    daemon.stop(home)
    record = json.loads(paths.record.read_text())
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        record["process"]["pid"] = bystander.pid
        paths.record.write_text(json.dumps(record))
        paths.socket.touch()
        started = daemon.ensure(home, os.environ)
        assert started.pid != bystander.pid
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"process": {}}'])
def test_a_daemon_whose_record_was_lost_is_found_and_replaced(home, damage):
    first = daemon.ensure(home, os.environ)
    Paths.of(home.engine).record.write_text(damage)
    second = daemon.ensure(home, os.environ)
    assert Process.of(first.pid) is None
    assert daemon.status(home).pid == second.pid


def test_a_daemon_that_hangs_is_replaced(home, monkeypatch):
    monkeypatch.setattr(daemon, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.5)
    first = daemon.ensure(home, os.environ)
    os.kill(first.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{first.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    assert daemon.ensure(home, os.environ).pid != first.pid
    assert Process.of(first.pid) is None


def test_a_cache_that_another_daemon_uses_is_not_touched(home):
    paths = Paths.of(home.engine)
    daemon.ensure(home, os.environ)
    daemon.stop(home)
    with tempfile.TemporaryDirectory(prefix="d-") as elsewhere:
        foreign = subprocess.Popen(
            [
                *(home.bin / "buildkitd", "--root", paths.root, "--addr", f"unix://{elsewhere}/s"),
                *("--oci-worker-binary", home.bin / "runc", "--containerd-worker=false"),
            ],
            # It looks for runc on PATH, too, whatever it is told to run.
            env={**os.environ, "PATH": f"{home.bin}:{os.environ['PATH']}"},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(Path(elsewhere, "s").exists)
            with pytest.raises(PipelineError, match="another BuildKit daemon") as raised:
                daemon.ensure(home, os.environ)
            assert str(foreign.pid) in raised.value.what
        finally:
            foreign.terminate()
            foreign.wait()
    daemon.ensure(home, os.environ)


def test_a_daemon_that_cannot_start_says_why(home, tmp_path):
    broken = Home(home.root / "b")
    broken.bin.mkdir(parents=True)
    for name in ("buildkitd", "buildctl"):
        (broken.bin / name).symlink_to(home.bin / name)
    (broken.bin / "runc").touch()
    (broken.bin / "runc").chmod(0o644)  # not executable
    with pytest.raises(PipelineError, match="ended while it was starting") as raised:
        daemon.ensure(broken, os.environ)
    assert "runc" in raised.value.what
    assert str(broken.engine / "buildkitd.log") in raised.value.fix
    assert daemon.status(broken) is None


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(home):
    """The engine's state on a disk of 700 MB."""
    home.engine.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "t", home.engine], check=True)
    yield home.engine
    daemon.stop(home, force=True)
    subprocess.run(["umount", home.engine], check=True)


def fill(directory: Path, leave_mb: int) -> None:
    size = shutil.disk_usage(directory).free - leave_mb * 1_000_000
    with (directory / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


@pytest.mark.parametrize("leave_mb", [0, 100])
def test_a_full_disk_is_found_before_the_start(home, small_disk, leave_mb):
    fill(small_disk, leave_mb)
    with pytest.raises(PipelineError, match="the disk is full") as raised:
        daemon.ensure(home, os.environ)
    assert str(small_disk) in raised.value.where
    assert "PIPELINE_HOME" in raised.value.fix


def test_a_disk_that_fills_up_explains_the_failed_build(home, small_disk, build, buildctl):
    daemon.ensure(home, os.environ)
    fill(small_disk, 50)
    with buildctl("write") as child:
        said = child.stderr.read()
    assert child.returncode != 0
    assert "the disk is full" in str(daemon.diagnose(home, said))
    (small_disk / "ballast").unlink()
    assert daemon.diagnose(home) is None
    build("surroundings")


def test_a_read_only_state_directory_is_named(home, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(InputError, match="read-only file system") as raised:
        daemon.ensure(home, os.environ)
    assert str(small_disk) in raised.value.where
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
