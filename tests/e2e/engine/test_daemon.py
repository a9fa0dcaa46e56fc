"""The life of a BuildKit daemon, with real daemons, builds, crashes and full disks."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ci.daemons import Process
from ci.engine.buildkit import daemon, install, procfs
from ci.engine.buildkit.daemon_config import DaemonConfig, Paths
from ci.errors import InputError, PipelineError

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="BuildKit's daemon needs root"),
]


def first_line(child: subprocess.Popen) -> str:
    return child.stdout.readline().strip()


HOLDING = "with daemon.hold(home): print('holding', flush=True); input()"
STARTING = "print(daemon.ensure(home, os.environ).pid, flush=True); input()"


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


# --- life ----------------------------------------------------------------------------------------


def test_it_starts_on_demand_and_stays_until_it_is_stopped(home):
    assert daemon.status(home) is None
    started = daemon.ensure(home, os.environ)
    assert started.version == install.BUILDKIT_VERSION
    assert daemon.ensure(home, os.environ) == started

    status = daemon.status(home)
    assert (status.pid, status.address) == (started.pid, started.address)
    assert (status.users, status.config) == ((), DaemonConfig())
    assert status.log.is_file()

    assert daemon.stop(home) is True
    assert Process.of(started.pid) is None
    assert daemon.status(home) is None
    assert daemon.stop(home) is False


def test_it_survives_the_process_that_started_it_and_its_terminal(home, another_process):
    with another_process(STARTING) as starter:
        started = int(first_line(starter))
        os.kill(starter.pid, signal.SIGINT)
        starter.wait()
    assert daemon.ensure(home, os.environ).pid == started
    assert os.getsid(started) == started
    assert Path(f"/proc/{started}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{started}/cwd").readlink() == Path("/")


def test_nobody_else_can_talk_to_it(home):
    daemon.ensure(home, os.environ)
    paths = Paths.of(home.engine)
    assert paths.socket.stat().st_mode & 0o777 == 0o600
    assert paths.state.stat().st_mode & 0o777 == 0o700


def test_it_has_no_credentials(home):
    pid = daemon.ensure(home, {**os.environ, "AWS_SECRET_ACCESS_KEY": "top-secret"}).pid
    assert b"top-secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_runs_that_start_at_once_share_one(home, another_process):
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(another_process(STARTING)) for _ in range(4)]
        pids = {first_line(run) for run in runs}
    assert len(pids) == 1
    assert len(procfs.find_by_argument(f"--config={home.engine}/buildkitd.toml")) == 1


# --- builds --------------------------------------------------------------------------------------


def test_steps_have_the_hosts_network_and_resolver(home, build):
    daemon.ensure(home, os.environ)
    said = build("surroundings")
    for interface in Path("/sys/class/net").iterdir():
        assert f"interface {interface.name}\n" in said
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith("nameserver") and " 127." not in line and " ::1" not in line:
            assert line in said


def test_the_log_of_a_step_is_complete(home, build):
    daemon.ensure(home, os.environ)
    said = build("talk")  # 4.9 MB; BuildKit's own limit is 2 MB
    assert said.count("\n") > 60_000
    assert f"{59_999:080d}" in said


def test_the_cache_stays_under_its_limit(home, build):
    config = DaemonConfig(disk_limit_mb=1000)
    daemon.ensure(home, os.environ, config)
    for number in range(5):
        build("write", name=str(number))  # 300 MB each
    daemon.stop(home)
    daemon.ensure(home, os.environ)  # collects garbage a second after it starts, then by the minute
    wait_until(lambda: daemon.status(home).cache_mb <= 1000, seconds=30)
    assert daemon.status(home).cache_mb >= 100


# --- users and other configurations --------------------------------------------------------------


OTHER = DaemonConfig(mirrors=(("public.ecr.aws", "127.0.0.1:5000"),))


def test_another_configuration_restarts_it_and_is_remembered(home):
    first = daemon.ensure(home, os.environ)
    second = daemon.ensure(home, os.environ, OTHER)
    assert second.pid != first.pid
    assert daemon.ensure(home, os.environ) == second
    daemon.stop(home)
    daemon.ensure(home, os.environ)
    assert daemon.status(home).config == OTHER


def test_it_is_not_restarted_or_stopped_under_a_run_that_uses_it(home, another_process):
    first = daemon.ensure(home, os.environ)
    with another_process(HOLDING) as holder:
        assert first_line(holder) == "holding"
        assert str(holder.pid) in daemon.status(home).users[0]
        with pytest.raises(InputError, match=f"pid {holder.pid}"):
            daemon.ensure(home, os.environ, OTHER)
        with pytest.raises(PipelineError, match=f"pid {holder.pid}"):
            daemon.stop(home)
        assert daemon.ensure(home, {**os.environ, "HTTPS_PROXY": "http://other:1"}) == first
        holder.kill()
        holder.wait()
        assert daemon.ensure(home, os.environ, OTHER).pid != first.pid


def test_stop_can_be_forced(home, another_process):
    daemon.ensure(home, os.environ)
    with another_process(HOLDING) as holder:
        assert first_line(holder) == "holding"
        assert daemon.stop(home, force=True) is True


def test_ones_own_use_does_not_stand_in_ones_way(home):
    with daemon.using(home, os.environ) as first:
        assert str(os.getpid()) in daemon.status(home).users[0]
        assert daemon.ensure(home, os.environ, OTHER).pid != first.pid
    assert daemon.status(home).users == ()


def test_a_new_proxy_restarts_it(home):
    first = daemon.ensure(home, os.environ)
    proxied = {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9"}
    second = daemon.ensure(home, proxied)
    assert second.pid != first.pid
    assert b"127.0.0.1:9" in Path(f"/proc/{second.pid}/environ").read_bytes()
    assert daemon.ensure(home, proxied) == second
