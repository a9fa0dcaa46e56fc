"""The whole installation into an empty home, with the real Go, module proxy and BuildKit."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from ci.engine.buildkit import install
from ci.home import Home

pytestmark = pytest.mark.e2e


def test_an_empty_home_is_filled_once(tmp_path, user_home):
    install.install(user_home, os.environ, print)  # so that Go's own caches are warm
    home = Home(tmp_path / "home")
    said: list[str] = []
    install.install(home, os.environ, said.append)

    assert [line.partition(":")[0] for line in said if "ready after" in line] == [
        *("buildkit", "runc", "shim", "ops_pb2"),
    ]
    for program in ("buildkitd", "buildctl"):
        command = [home.bin / program, "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert install.BUILDKIT_VERSION in version
    code = "import ops_pb2; print(ops_pb2.Op().SerializeToString())"
    environ = {**os.environ, "PYTHONPATH": str(home.root / "python")}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)

    assert install.missing(home) == []
    again: list[str] = []
    started = time.perf_counter()
    install.install(home, os.environ, again.append)
    assert time.perf_counter() - started < 0.05
    assert again == []


def test_runc_comes_from_debian_where_the_machine_has_none(tmp_path, user_home):
    install.install(user_home, os.environ, print)
    home = Home(tmp_path / "home")
    home.bin.mkdir(parents=True)
    for tool in ("bin/buildkitd", "bin/buildctl", "bin/shim", "engine-tools.json", "python"):
        (home.root / tool).symlink_to(user_home.root / tool)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "dpkg", "dpkg-deb", "gpgv", "sh", "tar"):
        if not (found := shutil.which(name)):
            pytest.skip(f"no {name}: not Debian")
        (programs / name).symlink_to(found)

    install.install(home, {**os.environ, "PATH": str(programs)}, print)

    assert (home.bin / "runc").resolve().is_relative_to(home.root)
    version = subprocess.run([home.bin / "runc", "--version"], capture_output=True, check=True)
    assert version.stdout.startswith(b"runc version")
