"""Mirrors and certificate authorities, with real registries."""

import contextlib
import json
import os
import socket
import subprocess
import time

import pytest
from kit.certificates import self_signed

from ci.engine.buildkit import daemon
from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.local import registry

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="BuildKit's daemon needs root"),
]


@pytest.fixture
def local_registry(user_home, home):
    registry.install(user_home, os.environ, print)
    yield registry.ensure(home, os.environ)
    registry.stop(home)


def pushed(name: str) -> str:
    return f"type=image,name={name},push=true"


def test_a_mirror_serves_a_registry_that_cannot_be_reached(home, build, local_registry):
    mirrors = (("base.invalid", local_registry.host),)
    daemon.ensure(home, os.environ, DaemonConfig(mirrors=mirrors))
    build("surroundings", output=pushed(f"{local_registry.host}/lambda/python:3.13"))
    build(name="through", base="base.invalid/lambda/python:3.13")


def test_without_a_mirror_the_registry_itself_is_asked(home, buildctl):
    daemon.ensure(home, os.environ)
    with buildctl(name="direct", base="base.invalid/lambda/python:3.13") as child:
        said = child.stderr.read()
    assert child.returncode != 0
    assert "base.invalid" in said


@pytest.fixture
def tls_registry(user_home, tmp_path):
    """A registry whose certificate is signed by itself; its name and its certificate's file."""
    registry.install(user_home, os.environ, print)
    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
    except OSError:
        pytest.skip("this machine's own name has no address; a loopback name would be plain HTTP")
    certificate, key = self_signed(host)
    (tmp_path / "ca.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    configuration = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "blobs")}},
        "http": {
            "addr": f"{address}:{port}",
            "tls": {
                "certificate": str(tmp_path / "ca.pem"),
                "key": str(tmp_path / "key.pem"),
            },
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    serving = subprocess.Popen(
        [user_home.bin / registry.PROGRAM, "serve", tmp_path / "config.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"{host}:{port}", tmp_path / "ca.pem"
    finally:
        serving.terminate()
        serving.wait()


def test_a_ca_bundle_makes_its_registries_trusted(home, build, buildctl, tls_registry):
    host, bundle = tls_registry
    daemon.ensure(home, os.environ)
    with buildctl("surroundings", output=pushed(f"{host}/image:1")) as child:
        said = child.stderr.read()
    assert child.returncode != 0
    assert "certificate" in said

    daemon.ensure(home, os.environ, DaemonConfig(ca_bundle=str(bundle)))
    build("surroundings", output=pushed(f"{host}/image:1"))


def test_a_bundle_that_changed_on_disk_is_taken_over(home, build, tls_registry):
    host, bundle = tls_registry
    trusted = bundle.read_bytes()
    bundle.write_bytes(self_signed("somebody.else")[0])
    config = DaemonConfig(ca_bundle=str(bundle))
    first = daemon.ensure(home, os.environ, config)
    bundle.write_bytes(trusted)
    assert daemon.ensure(home, os.environ, config).pid != first.pid
    build("surroundings", output=pushed(f"{host}/image:1"))
