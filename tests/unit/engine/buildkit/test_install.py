"""What set-up says when it cannot install something, and that it does nothing twice."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from ci.engine.buildkit import install
from ci.errors import InputError
from ci.home import Home

ALL = ["buildkit", "runc", "shim", "ops_pb2"]
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="Go is not on PATH")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def programs(tmp_path):
    """An otherwise empty PATH, and a way to put programs on it."""
    directory = tmp_path / "programs"
    directory.mkdir()

    def program(name: str, script: str) -> dict[str, str]:
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
        return {"PATH": str(directory)}

    return program


def pretend(home: Home, *tools: str) -> None:
    """As if these had been installed."""
    home.bin.mkdir(parents=True, exist_ok=True)
    versions = {"shim": install._shim_hash()}
    for tool in {*tools} - {"ops_pb2"}:
        for program in {"buildkit": ["buildkitd", "buildctl"]}.get(tool, [tool]):
            (home.bin / program).symlink_to("/bin/true")
    if "ops_pb2" in tools:
        (home.root / "python").mkdir()
        (home.root / "python" / "ops_pb2.py").touch()
    stamp = {tool: versions.get(tool, install.BUILDKIT_VERSION) for tool in tools}
    (home.root / "engine-tools.json").write_text(json.dumps(stamp))


def names(home: Home) -> list[str]:
    return [tool.name for tool in install.missing(home)]


def failure(home: Home, environ: dict[str, str]) -> InputError:
    with pytest.raises(InputError) as raised:
        install.install(home, environ, lambda line: None)
    return raised.value


def test_what_is_missing_is_named_with_a_reason(home):
    assert names(home) == ALL
    assert all(len(tool.why) > 20 for tool in install.missing(home))


@pytest.mark.parametrize("tool", ALL)
def test_only_what_is_missing_is_installed(home, tool):
    pretend(home, *(set(ALL) - {tool}))
    assert names(home) == [tool]


def test_another_version_or_changed_sources_are_missing(home):
    pretend(home, *ALL)
    assert names(home) == []
    stamp = {"buildkit": "v0.1.0", "shim": "0", "ops_pb2": "v0.1.0"}
    (home.root / "engine-tools.json").write_text(json.dumps(stamp))
    assert names(home) == ["buildkit", "shim", "ops_pb2"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null"])
def test_a_damaged_stamp_only_costs_time(home, damage):
    pretend(home, *ALL)
    (home.root / "engine-tools.json").write_text(damage)
    assert names(home) == ["buildkit", "shim", "ops_pb2"]


def test_where_all_is_there_nothing_is_run_or_said(home):
    pretend(home, *ALL)
    said: list[str] = []
    started = time.perf_counter()
    install.install(home, {"PATH": "/nonexistent"}, said.append)
    assert time.perf_counter() - started < 0.05
    assert said == []


def test_no_go(home):
    error = failure(home, {"PATH": "/nonexistent"})
    assert error.where == "Go"
    assert "not on PATH" in error.what
    assert "https://go.dev/dl/" in error.fix


@pytest.mark.parametrize(
    ("version", "toolchain", "accepted"),
    [
        ("go1.19.8", "", False),
        ("go1.20", "auto", False),
        ("go1.26.7", "local", False),
        ("go1.26rc1", "local", False),
        ("go1.21.0", "auto", True),
        ("go1.26.8", "local", True),
        ("go1.27", "local", True),
    ],
)
def test_a_go_too_old_is_refused_unless_it_fetches_its_successor(
    home, programs, version, toolchain, accepted
):
    environ = programs("go", f'[ "$1" = env ] || exit 7; printf "%s\\n" {version} "{toolchain}"')
    error = failure(home, environ)
    if accepted:
        assert error.where.startswith("`go get")
    else:
        assert "is too old" in error.what
        assert "1.26.8" in error.fix


@needs_go
def test_no_network(home, tmp_path):
    environ = {
        **os.environ,
        "GOPROXY": "http://127.0.0.1:9",
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOFLAGS": "-modcacherw",
    }
    error = failure(home, environ)
    assert error.where.startswith("`go get -tool github.com/moby/buildkit/cmd/buildkitd@")
    assert "connection refused" in error.what
    assert "http://127.0.0.1:9 (GOPROXY)" in error.fix
    assert names(home) == ALL


def test_a_full_disk_while_compiling(home, programs):
    environ = programs(
        "go",
        "case $1 in env) echo go1.26.8; echo local;; get) touch go.sum;; *) "
        "echo 'write /x: no space left on device' >&2; exit 1;; esac",
    )
    home.root.mkdir()
    path = {"PATH": f"{environ['PATH']}:/usr/bin:/bin"}
    error = failure(home, path)
    assert error.where.startswith("`go build")
    assert "no space left on device" in error.what
    assert "GOCACHE" in error.fix


def test_a_failed_installation_leaves_the_earlier_one(home, programs):
    pretend(home, *ALL)
    stamp = {"buildkit": "v0.1.0", "shim": install._shim_hash(), "ops_pb2": "v0.34.2"}
    (home.root / "engine-tools.json").write_text(json.dumps(stamp))
    failure(home, programs("go", '[ "$1" = env ] || exit 7; echo go1.26.8 local'))
    assert (home.bin / "buildkitd").resolve() == Path("/bin/true").resolve()
    assert names(home) == ["buildkit"]


def test_the_machines_own_runc_is_used(home, programs):
    pretend(home, "buildkit", "shim", "ops_pb2")
    environ = programs("runc", "echo runc version 1.2.3")
    said: list[str] = []
    install.install(home, environ, said.append)
    assert (home.bin / "runc").resolve() == Path(environ["PATH"]) / "runc"
    assert any(line.startswith("runc: using") for line in said)
    assert names(home) == []


def test_no_runc_and_no_debian(home):
    pretend(home, "buildkit", "shim", "ops_pb2")
    error = failure(home, {"PATH": "/nonexistent"})
    assert error.where == "runc"
    assert "apt-get" in error.what


def test_a_runc_that_does_not_run(home, programs):
    pretend(home, "buildkit", "shim", "ops_pb2")
    error = failure(home, programs("runc", "echo libseccomp.so.2: not found >&2; exit 127"))
    assert "libseccomp.so.2: not found" in error.what
    assert names(home) == ["runc"]


@needs_go
def test_the_shim_is_compiled_again_when_its_source_changes(home, tmp_path, monkeypatch):
    pretend(home, "buildkit", "runc", "ops_pb2")
    install.install(home, os.environ, lambda line: None)
    first = (home.bin / "shim").read_bytes()
    assert first[:4] == b"\x7fELF"
    assert names(home) == []
    changed = tmp_path / "shim"
    shutil.copytree(install._SHIM, changed)
    with (changed / "main.go").open("a") as source:
        source.write('\nfunc init() { if len(os.Args) > 99 { println("changed") } }\n')
    monkeypatch.setattr(install, "_SHIM", changed)
    assert names(home) == ["shim"]
    install.install(home, os.environ, lambda line: None)
    assert (home.bin / "shim").read_bytes() != first
    assert names(home) == []
