import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ci.daemons import Process
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.local import registry

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(home):
    yield home
    registry.stop(home)


def call(host, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def push_blob(host, name, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    _, _, headers = call(host, "POST", f"/v2/{name}/blobs/uploads/")
    location = headers["Location"].partition(host)[2]
    status, _, _ = call(host, "PUT", f"{location}&digest={digest}", content)
    assert status == 201
    return digest


def process_of(home):
    return Process.read(home.local / "registry" / "pid")


def test_it_keeps_images_and_port_over_a_restart_and_deletes_on_request(home):
    host = registry.ensure(home, os.environ).host
    digest = push_blob(host, "some/image", b"content")
    assert registry.stop(home)
    assert registry.status(home) is None

    assert registry.ensure(home, os.environ).host == host
    assert call(host, "GET", f"/v2/some/image/blobs/{digest}")[:2] == (200, b"content")
    assert call(host, "DELETE", f"/v2/some/image/blobs/{digest}")[0] == 202
    assert call(host, "GET", f"/v2/some/image/blobs/{digest}")[0] == 404


def test_it_mounts_a_blob_from_one_repository_into_another(home):
    host = registry.ensure(home, os.environ).host
    digest = push_blob(host, "one", b"shared layer")
    status, _, _ = call(host, "POST", f"/v2/two/blobs/uploads/?mount={digest}&from=one")
    assert status == 201


def test_a_running_registry_is_shared(home):
    first = registry.ensure(home, os.environ)
    process = process_of(home)
    assert registry.ensure(home, os.environ) == first == registry.status(home)
    assert process_of(home) == process


def test_runs_that_start_at_once_get_one_registry(home):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: registry.ensure(home, os.environ), range(4)))
    assert len(set(found)) == 1
    running = subprocess.run(
        ["pgrep", "-f", str(home.local / "registry")], capture_output=True, text=True, check=True
    )
    assert len(running.stdout.split()) == 1


def test_it_listens_on_this_machine_only(home):
    host = registry.ensure(home, os.environ).host
    port = int(host.partition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # would fail if the registry had taken every address


def test_a_taken_port_is_left_for_the_next_free_one(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        port = int(registry.ensure(home, os.environ, port=taken).host.partition(":")[2])
    assert port in registry.PORTS


def test_a_wished_port_is_used_and_remembered(home):
    with socket.create_server(("127.0.0.1", 0)) as free:
        wish = free.getsockname()[1]
    assert registry.ensure(home, os.environ, port=wish).host == f"127.0.0.1:{wish}"
    registry.stop(home)
    assert registry.ensure(home, os.environ).host == f"127.0.0.1:{wish}"


def test_a_killed_registry_is_started_again(home):
    host = registry.ensure(home, os.environ).host
    killed = process_of(home)
    os.kill(killed.pid, signal.SIGKILL)
    os.waitpid(killed.pid, 0)
    assert registry.status(home) is None
    assert registry.ensure(home, os.environ).host == host
    assert process_of(home).pid != killed.pid


def test_stop_spares_a_stranger_with_a_recycled_pid(home):
    registry.ensure(home, os.environ)
    process_of(home).end()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        recorded = {"pid": stranger.pid, "started": "an earlier boot:1"}
        (home.local / "registry" / "pid").write_text(json.dumps(recorded))
        assert not registry.stop(home)
        assert stranger.poll() is None
        stranger.kill()


def test_credentials_of_the_caller_do_not_reach_the_daemon(home):
    registry.ensure(home, {**os.environ, "AWS_SECRET_ACCESS_KEY": "not for daemons"})
    assert b"not for daemons" not in Path(f"/proc/{process_of(home).pid}/environ").read_bytes()


def test_a_registry_that_ends_at_once_is_reported_with_its_last_words(home):
    programs = home.root / "broken"
    programs.mkdir()
    (programs / registry.PROGRAM).write_text(
        "#!/bin/sh\necho no space left on device >&2\nexit 1\n"
    )
    (programs / registry.PROGRAM).chmod(0o755)
    broken = Home(home.root / "other")
    broken.root.mkdir()
    broken.bin.symlink_to(programs)
    with pytest.raises(PipelineError, match="no space left on device"):
        registry.ensure(broken, os.environ)
    assert registry.status(broken) is None


def test_a_home_that_cannot_be_written_is_named(home, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = Home(tmp_path / "file")
    with pytest.raises(
        PipelineError, match=r"file/local/registry: cannot write.*\n.*PIPELINE_HOME"
    ):
        registry.ensure(blocked, os.environ)


def test_without_the_program_it_says_what_to_run(tmp_path):
    empty = Home(tmp_path)
    assert [tool.name for tool in registry.missing(empty)] == [registry.PROGRAM]
    with pytest.raises(InputError, match="is not installed"):
        registry.ensure(empty, os.environ)


def test_a_registry_on_path_is_used_as_it_is(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "registry").write_text("#!/bin/sh\n")
    (programs / "registry").chmod(0o755)
    home = Home(tmp_path / "home")
    said: list[str] = []
    registry.install(home, {"PATH": str(programs)}, said.append)
    assert (home.bin / registry.PROGRAM).resolve() == programs / "registry"
    assert str(programs) in said[0]
    assert registry.missing(home) == []


def test_a_full_disk_is_reported_as_one(home, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=6", "tmpfs", str(full)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        (full / "bin").symlink_to(home.bin)
        with pytest.raises(PipelineError, match=r"No space left on device\n.*free space"):
            registry.ensure(Home(full), os.environ)
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_set_ups_at_once_install_it_once(tmp_path):
    home = Home(tmp_path)
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: registry.install(home, os.environ, said.append), range(2)))
    assert len(said) == 1
    assert registry.missing(home) == []
