import fcntl
import os
import subprocess
import sys

import pytest

from ci.engine.buildkit import procfs

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as handle:
    fcntl.flock(handle, fcntl.LOCK_SH)
    print(flush=True)
    input()
"""


@pytest.fixture
def child(tmp_path):
    """A process that holds a shared lock on the file ``lock``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock"), "--password=hunter2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    yield process
    process.communicate(b"\n")


def test_processes_are_found_by_a_whole_argument(child):
    assert [found.pid for found in procfs.find_by_argument("--password=hunter2")] == [child.pid]
    assert procfs.find_by_argument("--password=hunter") == []


def test_a_description_shows_no_argument_that_may_be_secret(child):
    description = procfs.describe(child.pid)
    assert description.startswith(f"pid {child.pid} (python")
    assert "hunter2" not in description


def test_a_process_that_is_gone_is_described_by_its_pid():
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert procfs.describe(gone.pid) == f"pid {gone.pid}"


def test_the_holders_of_a_lock_are_named(child, tmp_path):
    lock = tmp_path / "lock"
    assert procfs.lock_holders(lock) == [child.pid]
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        assert procfs.lock_holders(lock) == sorted([child.pid, os.getpid()])
    assert procfs.lock_holders(tmp_path / "absent") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_mounts_below_a_directory_are_found_innermost_first(tmp_path):
    outer = tmp_path / "with space é"
    inner = outer / "inner"
    outer.mkdir()
    for point in (outer, inner):
        point.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "t", point], check=True)
    try:
        assert procfs.mounts_below(tmp_path) == [str(inner), str(outer)]
        assert procfs.mounts_below(outer) == [str(inner)]
    finally:
        subprocess.run(["umount", inner, outer], check=True)
    assert procfs.mounts_below(tmp_path) == []
