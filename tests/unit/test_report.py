from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ci.building.engine_errors import ImageError
from ci.building.outcome import Bytes, Outcome, Phase
from ci.console import Console, folds_of
from ci.errors import PipelineError
from ci.report import Report, summarize, write

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/report.schema.json").read_text())
DIGEST = "sha256:" + "a" * 64
BUILT = Outcome(
    "good", "127.0.0.1:5000/stg-good", "built", "every run builds", DIGEST, ("abc", "latest"),
    (Phase("wait", 0.5, 1.5), Phase("build+push", 1.5, 3.25)), Bytes(10, 20, 30), None,
    "logs/good.log",
)  # fmt: skip
FAILED = Outcome(
    "bad", "127.0.0.1:5000/stg-bad", "failed", "every run builds", phases=(Phase("build", 1, 2),),
    error=ImageError("bad", "StepFailed", "exit code 1 of pip", "read its log"), log="logs/bad.log",
)  # fmt: skip
SKIPPED = Outcome("idle", "127.0.0.1:5000/stg-idle", "skipped", "interrupted")


def report(*functions: Outcome, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "command": "app", "target": "local", "started": datetime.now(UTC), "seconds": 4.5,
        "outcome": "failed", "engine": {"kind": "embedded", "version": "v0", "how": "embedded"},
        "deployment_tag": "abc", "functions": functions, "bases": {"x.io/a:1": DIGEST},
    }  # fmt: skip
    return Report(**fields | changes)


@pytest.mark.parametrize(
    "one",
    [
        report(BUILT, FAILED, SKIPPED),
        report(layer=BUILT, outcome="succeeded", stand_ins=["x.io/a:1"]),
        report(SKIPPED, engine=None, bases={}, error=PipelineError("registry", "down", "start it")),
        report(outcome="interrupted"),
    ],
)
def test_the_report_follows_its_schema(one: Report, tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    written = json.loads(write(one, tmp_path / "out").read_text())
    jsonschema.validate(written, SCHEMA, jsonschema.Draft202012Validator)
    assert [function["status"] for function in written["functions"]] == [
        outcome.status for outcome in one.functions
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"outcome": "fine"},
        {"bases": {"x": "latest"}},
        {"functions": [{"name": "a"}]},
    ],
)
def test_the_schema_refuses_what_is_no_report(change: dict[str, Any]) -> None:
    jsonschema.validate(report(BUILT).as_json(), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report(BUILT).as_json() | change, SCHEMA)


def test_a_built_image_has_a_digest_and_a_failed_one_an_error() -> None:
    one = report(BUILT, FAILED).as_json()
    for index, lacking in ((0, "digest"), (1, "error")):
        broken = json.loads(json.dumps(one))
        broken["functions"][index][lacking] = None
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, no directory")
    with pytest.raises(PipelineError, match=r"(?s)cannot be written.*--report"):
        write(report(), tmp_path / "out")


def test_the_summary_shows_every_image_and_the_end_of_failed_logs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/bad.log").write_text("".join(f"line {n}\n" for n in range(100)))
    out = io.StringIO()
    summarize(report(BUILT, FAILED, SKIPPED), tmp_path, out)
    shown = out.getvalue()
    for outcome in (BUILT, FAILED, SKIPPED):
        assert f"{outcome.name} " in shown
    assert "aaaaaaaaaaaa" in shown
    assert "abc, latest" in shown
    assert "60 B" in shown
    assert "line 99" in shown
    assert "line 50" not in shown
    assert str(tmp_path / "logs/bad.log") in shown.replace("\n", "")
    assert "1 of 3 images" in shown


GITHUB = {"GITHUB_ACTIONS": "true"}
GITLAB = {"GITLAB_CI": "true"}


@pytest.mark.parametrize(
    ("environ", "opening", "closing"),
    [
        (GITHUB, "::group::✗ bad failed", "::endgroup::"),
        (GITLAB, "\x1b[0Ksection_start:", "\x1b[0Ksection_end:"),
        ({"TF_BUILD": "True"}, "##[group]✗ bad failed", "##[endgroup]"),
    ],
)
def test_each_function_folds_where_the_ci_system_folds(
    environ: dict[str, str], opening: str, closing: str, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/bad.log").write_text("the whole log\n")
    out = io.StringIO()
    Console(out, folds_of(environ), tmp_path, 1).ended(FAILED)
    lines = out.getvalue().rstrip("\n").split("\n")
    assert lines[0].startswith(opening)
    assert "the whole log" in lines
    assert lines[-1].startswith(closing)


def test_gitlab_sections_have_one_name_at_both_ends(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/bad.log").write_text("x\n")
    out = io.StringIO()
    Console(out, folds_of(GITLAB), tmp_path, 1).ended(FAILED)
    names = [part.split("[")[0].split("\r")[0].split(":")[2]
             for part in out.getvalue().split("section_")[1:]]  # fmt: skip
    assert len(names) == 2
    assert names[0] == names[1]


def test_elsewhere_each_function_is_a_line(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(out, folds_of({"CODEBUILD_BUILD_ID": "p:1"}), tmp_path, 2)
    console.ended(BUILT)
    console.ended(FAILED)
    assert out.getvalue() == "✓ good built, 1.8 s (1 of 2)\n✗ bad failed, 1.0 s (2 of 2)\n"
