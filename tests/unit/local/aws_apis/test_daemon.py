"""The daemon: started once, found again, gone with ``stop``; and what it does not take along."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from kit.local_cloud import REGION

from ci.cloud import _LOCAL_CREDENTIALS, Cloud
from ci.daemons import Process
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.local.aws_apis import daemon
from ci.local.functions import ACCOUNT


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path / "home")
    yield found
    daemon.stop(found)


def process_of(home: Home) -> Process:
    found = Process.read(home.local / "aws-apis" / "pid")
    assert found
    return found


def s3(port: int) -> object:
    return Cloud(ACCOUNT, REGION, "", _LOCAL_CREDENTIALS, port).client("s3")


def test_it_starts_soon_is_shared_and_ends(home: Home) -> None:
    assert daemon.status(home) is None
    started = time.monotonic()
    cloud = daemon.ensure(home, os.environ, registry_host="127.0.0.1:5999")
    assert time.monotonic() - started < 10  # 1.5 s on a machine with nothing else to do
    assert cloud.port in daemon.PORTS
    assert cloud.endpoint == f"http://localhost:{cloud.port}"
    assert daemon.status(home) == cloud
    first = process_of(home)
    assert daemon.ensure(home, os.environ) == cloud
    assert process_of(home) == first
    health = httpx.get(f"{cloud.endpoint}/_local/health", trust_env=False).json()
    assert health == {"name": daemon.NAME, "pid": first.pid, "registry": "127.0.0.1:5999"}
    assert daemon.stop(home)
    assert daemon.status(home) is None
    assert not daemon.stop(home)
    assert not first.alive()


def test_a_running_one_learns_of_another_registry(home: Home) -> None:
    cloud = daemon.ensure(home, os.environ, registry_host="127.0.0.1:5998")
    daemon.ensure(home, os.environ, registry_host="127.0.0.1:5999")
    health = httpx.get(f"{cloud.endpoint}/_local/health", trust_env=False).json()
    assert health["registry"] == "127.0.0.1:5999"


def test_state_lives_as_long_as_the_daemon_and_the_port_longer(home: Home) -> None:
    cloud = daemon.ensure(home, os.environ)
    s3(cloud.port).create_bucket(Bucket="kept")  # type: ignore[attr-defined]
    daemon.ensure(home, os.environ)
    assert len(s3(cloud.port).list_buckets()["Buckets"]) == 1  # type: ignore[attr-defined]
    daemon.stop(home)
    again = daemon.ensure(home, os.environ)
    assert again == cloud
    assert s3(again.port).list_buckets()["Buckets"] == []  # type: ignore[attr-defined]


def test_one_that_crashed_is_started_again(home: Home) -> None:
    cloud = daemon.ensure(home, os.environ)
    killed = process_of(home)
    os.kill(killed.pid, signal.SIGKILL)
    os.waitpid(killed.pid, 0)
    assert daemon.status(home) is None
    assert daemon.ensure(home, os.environ) == cloud
    assert process_of(home).pid != killed.pid


def test_those_who_start_it_at_once_get_one(home: Home) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(lambda _: daemon.ensure(home, os.environ), range(3)))
    assert len(found) == 1


def test_two_homes_never_share_a_port(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    try:
        with ThreadPoolExecutor(2) as pool:
            ports = [each.port for each in pool.map(lambda h: daemon.ensure(h, os.environ), homes)]
        assert len(set(ports)) == 2
        for home, port in zip(homes, ports, strict=True):
            health = httpx.get(f"http://127.0.0.1:{port}/_local/health", trust_env=False).json()
            assert health["pid"] == process_of(home).pid
    finally:
        for home in homes:
            daemon.stop(home)


def test_it_listens_on_this_machine_only(home: Home) -> None:
    port = daemon.ensure(home, os.environ).port
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # would fail if it had taken every address


def test_nothing_of_the_user_reaches_it(home: Home, tmp_path: Path) -> None:
    """A profile that does not exist, credentials and proxies would each be in its way."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = nowhere\nendpoint_url = http://x\n"
    )
    surroundings = {
        **os.environ,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "nobody",
        "AWS_SECRET_ACCESS_KEY": "not for daemons",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9"),
    }
    cloud = daemon.ensure(home, surroundings)
    environ = Path(f"/proc/{process_of(home).pid}/environ").read_bytes()
    for word in (b"not for daemons", b"nobody", b"127.0.0.1:9", str(tmp_path / ".aws").encode()):
        assert word not in environ
    client = Cloud(ACCOUNT, REGION, "", _LOCAL_CREDENTIALS, cloud.port).client("cloudformation")
    body = json.dumps({"Resources": {"rA": {"Type": "AWS::SQS::Queue"}}})
    client.create_stack(StackName="s", TemplateBody=body)
    client.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})


def test_a_proxy_does_not_stand_between_us_and_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    cloud = daemon.ensure(home, os.environ)
    assert s3(cloud.port).list_buckets()["Buckets"] == []  # type: ignore[attr-defined]


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"local cloud in .*: cannot write its files"):
        daemon.ensure(Home(tmp_path / "file"), os.environ)


def test_without_its_packages_it_says_what_to_run(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_MODULES", ("moto", "nobody_has_this"))
    assert [tool.name for tool in daemon.missing(home)] == ["nobody_has_this"]
    with pytest.raises(InputError, match=r"needs Python packages: nobody_has_this\n.*make setup"):
        daemon.ensure(home, os.environ)
    assert daemon.status(home) is None


def test_make_stop_ends_it(home: Home) -> None:
    daemon.ensure(home, os.environ)
    command = [sys.executable, "-m", "ci.machine", "stop"]
    environ = {**os.environ, "PIPELINE_HOME": str(home.root)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "local cloud: stopped" in done.stdout
    assert daemon.status(home) is None


def test_asking_for_it_costs_no_start_up() -> None:
    heavy = "{'moto', 'boto3', 'flask', 'samtranslator'}"
    code = f"import sys, ci.local.aws_apis.daemon; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
