import os
import subprocess
import threading
import time

import pytest

from ci.daemons import Process, locked, replace_text, spawn


@pytest.fixture
def sleeper():
    child = subprocess.Popen(["sleep", "60"])
    process = Process.of(child.pid)
    assert process
    yield process
    child.kill()
    child.wait()


def test_a_process_is_recognised_from_its_file_until_it_ends(tmp_path, sleeper):
    file = tmp_path / "pid"
    sleeper.write(file)
    assert Process.read(file) == sleeper
    sleeper.end()
    assert Process.read(file) is None
    assert not sleeper.alive()


def test_a_recycled_pid_is_neither_recognised_nor_killed(tmp_path, sleeper):
    earlier = Process(sleeper.pid, sleeper.started + "0")
    earlier.write(tmp_path / "pid")
    assert Process.read(tmp_path / "pid") is None
    earlier.end()
    assert sleeper.alive()


def test_a_zombie_is_no_process():
    child = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
        assert Process.of(child.pid) is None
    finally:
        child.wait()


@pytest.mark.parametrize("text", ["", "garbage", "[1]", '{"pid": 1}', '{"pid": 1, "started": "x"}'])
def test_a_damaged_pid_file_names_no_process(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert Process.read(tmp_path / "pid") is None


def test_what_ignores_sigterm_is_killed_after_the_grace_period(tmp_path):
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    process = spawn(["sh", "-c", script], tmp_path / "log", {"PATH": os.environ["PATH"]})
    assert process
    while not (tmp_path / "log").read_text():
        time.sleep(0.01)
    begun = time.monotonic()
    process.end(grace=0.2)
    assert 0.2 <= time.monotonic() - begun < 5
    assert not process.alive()


def test_a_daemon_sees_only_the_environment_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for daemons")
    log = tmp_path / "log"
    spawn(["/usr/bin/env"], log, {"GIVEN": "yes"})
    deadline = time.monotonic() + 5
    while "GIVEN" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.read_text().splitlines() == ["GIVEN=yes"]


def test_a_lock_admits_one_at_a_time(tmp_path):
    inside = threading.Event()
    release = threading.Event()
    order = []

    def first():
        with locked(tmp_path / "lock"):
            inside.set()
            release.wait(5)
            order.append("first leaves")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(5)
    threading.Timer(0.2, release.set).start()
    with locked(tmp_path / "lock"):
        order.append("second enters")
    thread.join()
    assert order == ["first leaves", "second enters"]


def test_replacing_a_text_leaves_no_draft(tmp_path):
    replace_text(tmp_path / "file", "old")
    replace_text(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "new"}
