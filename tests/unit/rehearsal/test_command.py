"""What of ``rehearse`` is decided before anything is started."""

from __future__ import annotations

import fcntl
import io
from pathlib import Path

import pytest
from kit.templates import ROOT

from ci import settings
from ci.errors import InputError, InputErrors
from ci.home import Home
from ci.planning.plan import Plan
from ci.rehearsal import command
from ci.settings import Settings


def rehearse(tmp_path: Path, *argv: str, **environ: str) -> None:
    chosen = settings.parse(["rehearse", "--source", str(ROOT), *argv], environ)

    def planned(_: Settings) -> Plan:
        raise AssertionError("something was started")

    out = io.StringIO()
    command.rehearse(chosen, {}, Home(tmp_path / "home"), planned, out, out)


@pytest.mark.parametrize(
    "argv",
    [
        ("--build-id", "1"), ("--commit", "a" * 40), ("--bucket", "b"),
        ("--layer-digest", f"sha256:{'a' * 64}"), ("--layer-repository", "127.0.0.1:5000/layer"),
        ("--endpoint-url", "http://127.0.0.1:5000"),
    ],
)  # fmt: skip
def test_what_the_pipelines_decide_is_no_option(tmp_path: Path, argv: tuple[str, ...]) -> None:
    with pytest.raises(InputErrors, match=f"{argv[0]}: is decided by the pipelines"):
        rehearse(tmp_path, *argv)


def test_a_registry_with_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match="has a folder"):
        rehearse(tmp_path, "--registry", "127.0.0.1:5000/team")


def test_two_rehearsals_at_once_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "home/local").mkdir(parents=True)
    with (tmp_path / "home/local/rehearsal.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another one is at work"):
            rehearse(tmp_path)


def test_the_tree_is_judged_as_its_builds_will_judge_it(tmp_path: Path) -> None:
    judged = []

    def planned(chosen: Settings) -> Plan:
        judged.append(chosen)
        raise InputError("a", "b", "c")

    environ = {"PIPELINE_COMMIT": "f" * 40, "S3_BUCKET": "mine"}
    chosen = settings.parse(["rehearse", "--source", str(ROOT)], environ)
    with pytest.raises(InputError, match="a: b"):
        command.rehearse(chosen, environ, Home(tmp_path), planned, io.StringIO(), io.StringIO())
    [found] = judged
    assert (found.prefix, found.bucket, found.commit) == ("dev", "artifacts", "")
