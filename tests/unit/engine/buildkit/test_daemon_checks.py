"""What the daemon's machine lacks, and what its log says. Nothing is started here."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ci.engine.buildkit import daemon, daemon_checks
from ci.engine.buildkit.daemon_config import Paths
from ci.errors import InputError, PipelineError
from ci.home import Home

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def home():
    # Short: a socket's path has to fit in 107 bytes.
    with tempfile.TemporaryDirectory(prefix="d-") as directory:
        yield Home(Path(directory))


@pytest.fixture
def installed(home):
    home.bin.mkdir()
    for name in ("buildkitd", "buildctl", "runc"):
        (home.bin / name).symlink_to("/bin/true")
    return home


def message(home: Home) -> str:
    with pytest.raises(InputError) as raised:
        daemon.ensure(home, {})
    assert raised.value.fix
    return str(raised.value)


def in_python(code: str, *prefix: str, **options: object) -> str:
    program = [*prefix, sys.executable, "-c", code]
    return subprocess.run(program, capture_output=True, text=True, check=True, **options).stdout


ENSURE = """
import os, sys, pathlib
from ci.engine.buildkit import daemon
from ci.errors import InputError
from ci.home import Home
{become}
try:
    daemon.ensure(Home(pathlib.Path("{home}")), {{}})
except InputError as error:
    print(error)
"""


@needs_root
def test_an_ordinary_user_is_told_about_sudo_and_dagger(installed):
    said = in_python(ENSURE.format(home=installed.root, become="os.setuid(65534)"))
    assert "needs root" in said
    assert "sudo" in said
    assert "--engine dagger" in said
    assert not installed.engine.exists()


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv (util-linux) drops capabilities")
def test_root_without_the_right_to_mount_is_told_so(installed):
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    said = in_python(ENSURE.format(home=installed.root, become=""), *drop)
    assert "CAP_SYS_ADMIN" in said
    assert "privileged" in said


@needs_root
def test_tools_that_are_not_installed_are_named(home):
    home.bin.mkdir()
    (home.bin / "buildctl").symlink_to("/bin/true")
    said = message(home)
    assert "buildkitd, runc not installed" in said
    assert "make setup" in said


@needs_root
def test_a_home_too_deep_for_a_socket_is_refused(installed):
    deep = Home(installed.root / ("d" * 100))
    said = message(deep)
    assert "longer than 107 bytes" in said
    assert "PIPELINE_HOME" in said


@needs_root
def test_a_state_directory_that_cannot_be_made_is_named(installed):
    installed.engine.write_text("a file is in the way")
    said = message(installed)
    assert str(installed.engine) in said
    assert "cannot be written: file exists" in said


@needs_root
def test_somebody_elses_state_is_left_alone(installed):
    installed.engine.mkdir()
    os.chown(installed.engine, 65534, -1)
    assert "belongs to another user" in message(installed)
    assert installed.engine.stat().st_mode & 0o777 != 0o700


def test_state_is_for_its_user_alone(home):
    home.engine.mkdir(parents=True, mode=0o755)
    daemon_checks.make_private(Paths.of(home.engine))
    assert home.engine.stat().st_mode & 0o777 == 0o700


def test_nothing_runs_where_nothing_was_started(home):
    assert daemon.status(home) is None
    assert daemon.stop(home) is False


LOG = """\
time="T" level=info msg="auto snapshotter: using overlayfs"
buildkitd: listen unix /s: bind: {reason}
failed to listen
main.main
\t/src/main.go:1
runtime.main
\t/go/proc.go:1
"""


def test_the_end_of_the_log_is_shown_without_go_stacks(home):
    paths = Paths.of(home.engine)
    home.engine.mkdir()
    paths.log.write_text(LOG.format(reason="invalid argument"))
    error = daemon_checks.ended(paths, "BuildKit's daemon ended")
    assert "invalid argument\n    failed to listen\n" in str(error)
    assert "main.go" not in str(error)
    assert "runtime.main" not in str(error)
    assert str(paths.log) in error.fix


def test_a_full_disk_is_recognised_in_the_log_and_in_a_failed_build(home):
    paths = Paths.of(home.engine)
    home.engine.mkdir()
    paths.log.write_text(LOG.format(reason="no space left on device"))
    assert "disk is full" in str(daemon_checks.ended(paths, "BuildKit's daemon ended"))
    error = daemon.diagnose(home, "write /var/lib/x: no space left on device")
    assert isinstance(error, PipelineError)
    assert str(home.engine) in str(error)


def test_a_daemon_that_is_gone_explains_a_failed_build(home):
    home.engine.mkdir()
    Paths.of(home.engine).log.write_text("fatal error: out of memory\n")
    error = daemon.diagnose(home, "connection refused")
    assert "died in the middle" in str(error)
    assert "out of memory" in str(error)
