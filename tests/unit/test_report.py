from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ci.building.engine_errors import ImageError
from ci.building.outcome import Bytes, Outcome, Phase
from ci.console import Console, folds_of
from ci.deploy.changes import Change, NewImage
from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.record import Record, Recording
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


CHANGES = (
    Change("added", "rQueue", "AWS::SQS::Queue"),
    Change("modified", "rF", "AWS::Lambda::Function", "f", image=NewImage("", DIGEST)),
    Change("replaced", "rTable", "AWS::DynamoDB::Table", "t", certain=False, kept=True),
)
DEPLOYED = (
    StackOutcome("one", "updated", changes=CHANGES, outputs={"o": "x"}, seconds=3.25),
    StackOutcome("two", "skipped", "it imports x of three, which is failed"),
    StackOutcome("three", "failed", error=PipelineError("stack three", "broke", "mend it")),
    StackOutcome("four", "deleted"),
)
RECORDING = Recording((Record("dev-f", "one", "r/dev-f", DIGEST, ""),), moved=True, notes=("n",))
KEPT = Kept("four", "rTable", "AWS::DynamoDB::Table", "t", "declared Retain")


def deployment() -> Report:
    return report(
        command="deploy", engine=None, deployment_tag="", bases={}, stacks=DEPLOYED,
        recording=RECORDING, kept=(KEPT,),
    )  # fmt: skip


def test_a_deployment_follows_the_schema_too() -> None:
    written = deployment().as_json()
    jsonschema.validate(written, SCHEMA, jsonschema.Draft202012Validator)
    assert written["stacks"][0]["change_set"][1]["image"] == {"before": None, "after": DIGEST}
    assert written["stacks"][2]["error"]["message"] == "stack three: broke"
    assert written["recorded"]["functions"][0]["previous"] is None
    assert written["kept"][0]["physical_id"] == "t"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda it: it["stacks"][0].update(status="fine"),
        lambda it: it["stacks"][2].update(error=None),
        lambda it: it["stacks"][0]["change_set"][0].update(action="touched"),
        lambda it: it["recorded"]["functions"][0].update(deployed="latest"),
        lambda it: it["kept"][0].pop("physical_id"),
    ],
)
def test_the_schema_refuses_what_is_no_deployment(break_it: Callable[[Any], Any]) -> None:
    written = deployment().as_json()
    break_it(written)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, SCHEMA)


def test_the_summary_of_a_deployment(tmp_path: Path) -> None:
    out = io.StringIO()
    summarize(deployment(), tmp_path, out)
    shown = out.getvalue()
    assert "1 added, 1 modified, 1 replaced" in shown
    assert "it imports x of three, which is failed" in shown
    assert "stack three could not be brought to its end: stack three: broke" in shown
    assert "deploy failed: 2 of 4 stacks in 4.5 s" in shown
