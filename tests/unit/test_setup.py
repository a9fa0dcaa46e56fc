"""Set-up as a newcomer meets it: the scripts of ``.ci/`` and ``python -m ci.machine``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "cksum", "dirname", "flock", "git", "grep", "id", "sed")


@pytest.fixture
def programs(tmp_path):
    """A PATH that holds little: the tools that every machine has, less those named."""
    directory = tmp_path / "programs"
    directory.mkdir()

    def path(*absent: str, **scripts: str) -> dict[str, str]:
        for name in set(TOOLS) - set(absent):
            if found := shutil.which(name):
                (directory / name).symlink_to(found)
        for name, script in scripts.items():
            (directory / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
            (directory / name).chmod(0o755)
        return {"PATH": str(directory)}

    return path


def run_venv(venv: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [ROOT / ".ci" / "venv", str(venv)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_no_git(tmp_path, programs):
    done = run_venv(tmp_path / "venv", programs("git"))
    assert done.returncode == 2
    assert done.stderr.startswith("git: is not on PATH")
    assert "apt-get install git" in done.stderr


@pytest.mark.parametrize("scripts", [{}, {"python3": "exit 1"}])
def test_no_python_or_one_too_old(tmp_path, programs, scripts):
    done = run_venv(tmp_path / "venv", programs(**scripts))
    assert done.returncode == 2
    assert "Python: 3.11 or newer is not on PATH" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr


def test_a_python_that_cannot_make_environments(tmp_path, programs):
    environ = programs(python3="[[ $2 != *ensurepip* ]]")  # and there is no apt-get
    done = run_venv(tmp_path / "venv", environ)
    assert done.returncode == 2
    assert "lacks ensurepip" in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_no_package_index(tmp_path):
    environ = {name: os.environ[name] for name in os.environ if not name.startswith("PIP_")}
    environ |= {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0", "PYTHON": sys.executable}
    done = run_venv(tmp_path / "venv", environ)
    assert done.returncode == 2
    assert "packages of requirements.lock" in done.stdout
    assert "Python packages: could not be installed" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr
    assert not (tmp_path / "venv" / "installed").exists()


def test_an_environment_that_is_complete_is_left_alone(tmp_path):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    project = (ROOT / "pyproject.toml").read_bytes().partition(b"[tool.")[0]
    sources = (ROOT / "requirements.lock").read_bytes() + project
    sum_of = subprocess.run(["cksum"], input=sources, capture_output=True, check=True).stdout
    (venv / "installed").write_bytes(sum_of)
    before = sorted(venv.rglob("*"))
    done = run_venv(venv, {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(venv.rglob("*")) == before


def test_the_lock_holds_every_package_that_the_project_names():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["local"], *extras["dev"]]
    wanted.remove("lambda-image-pipeline[local]")
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.partition("==")[0].lower() for line in lines if "==" in line}
    for requirement in wanted:
        name = requirement.partition(">")[0].partition("[")[0]
        assert name.lower() in locked, requirement


def machine(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ci.machine", *arguments]
    surroundings = {"PIPELINE_HOME": str(home), "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)


def test_set_up_lists_what_it_installs_and_names_what_it_cannot(tmp_path, programs):
    done = machine(tmp_path / "home", "setup", **programs())
    assert done.returncode == 2
    assert done.stdout.startswith("set-up: buildkit, runc, shim, ops_pb2, docker-registry")
    assert done.stderr.startswith("Go: is not on PATH")


def test_where_there_is_a_dagger_set_up_goes_on_without_the_embedded_engine(tmp_path, programs):
    done = machine(tmp_path / "home", "setup", **programs(dagger="exit 0"))
    assert "Go: is not on PATH" in done.stdout
    assert "goes on without the embedded engine" in done.stdout
    assert "docker-registry" in done.stderr  # the next thing that is not to be had on this PATH


def test_stop_where_nothing_runs(tmp_path):
    done = machine(tmp_path / "home", "stop")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{each}: was not running" for each in ("embedded engine", "local cloud", "local registry")
    ]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [[], ["set-up"], ["setup", "now"]])
def test_other_words_are_refused(tmp_path, arguments):
    done = machine(tmp_path / "home", *arguments)
    assert done.returncode == 2
    assert "say `setup` or `stop`" in done.stderr
