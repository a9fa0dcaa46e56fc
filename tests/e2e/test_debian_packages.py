import os
import subprocess

import pytest

from ci.debian import architecture, download_with_dependencies, unpack
from ci.errors import InputError

pytestmark = pytest.mark.e2e


def test_a_package_is_unpacked_and_not_installed(tmp_path):
    unpack("hello", tmp_path / "into", os.environ)
    hello = tmp_path / "into" / "usr" / "bin" / "hello"
    said = subprocess.run([hello], capture_output=True, text=True, check=True).stdout
    assert said == "Hello, world!\n"


def test_a_machine_that_never_updated_its_lists_gets_lists_of_its_own(tmp_path):
    (tmp_path / "empty" / "partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{tmp_path}/empty";')
    environ = {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")}
    unpack("hello", tmp_path / "into", environ)
    assert (tmp_path / "into" / "usr" / "bin" / "hello").exists()
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["partial"]


def test_a_package_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no-such-package: cannot be downloaded"):
        unpack("no-such-package", tmp_path, os.environ)


def test_another_releases_packages_come_with_their_dependencies(tmp_path):
    debs = download_with_dependencies(["bash"], "trixie", tmp_path, os.environ)
    assert {"base-files", "bash", "libc6"} <= {deb.name.partition("_")[0] for deb in debs}
    libc = next(deb for deb in debs if deb.name.startswith("libc6_"))
    command = ["dpkg-deb", "-f", str(libc), "Architecture"]
    declared = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert declared == architecture(os.environ)


def test_a_release_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="Debian no-such-release: cannot be downloaded"):
        download_with_dependencies(["bash"], "no-such-release", tmp_path, os.environ)
