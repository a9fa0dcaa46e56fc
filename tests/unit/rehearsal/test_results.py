"""What is seen and reported of a rehearsal."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from kit import pipelines
from kit.templates import ROOT

from ci import settings
from ci.console import folds_of
from ci.deploy.changes import Change, NewImage
from ci.deploy.outcome import StackOutcome
from ci.errors import PipelineError
from ci.local.codepipeline import declaration
from ci.local.codepipeline.execution import Done, Execution, Trigger
from ci.local.codepipeline.world import Numbers
from ci.planning.build_info import BuildInfo
from ci.planning.plan import make
from ci.rehearsal import infrastructure
from ci.rehearsal.progress import Progress
from ci.rehearsal.results import Results, summarize
from ci.rehearsal.story import Story

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())
DIGEST = f"sha256:{'a' * 64}"


def story(report: Path) -> Story:
    chosen = settings.parse(["rehearse", "--source", str(ROOT), "--report", str(report)], {})
    plan = make(chosen, BuildInfo(None, None), "127.0.0.1:5000")
    return Story(plan, infrastructure.read(chosen))


def execution(name: str, *done: Done, status: str = "succeeded") -> Execution:
    declared = declaration.read(pipelines.pipeline(pipelines.good()) | {"Name": name}, [])
    made = Execution(declared, Trigger("a push"), status=status)
    made.stages.append(("Stage", list(done)))
    return made


def stack(name: str, status: str, *changes: Change) -> StackOutcome:
    return StackOutcome(name, status, changes=changes)


def results(told: Story, error: PipelineError | None = None) -> Results:
    outcome = "failed" if error else "succeeded"
    return Results(told, datetime.now(UTC), 12.5, outcome, error)


def test_the_report_follows_its_schema_even_if_nothing_came_of_it(tmp_path: Path) -> None:
    told = results(story(tmp_path), PipelineError("a", "b", "c"))
    document = told.as_json()
    jsonschema.validate(document, SCHEMA)
    assert document["error"] == {"class": "PipelineError", "message": "a: b", "fix": "c"}
    assert [each["status"] for each in document["stacks"]] == ["skipped"]


def test_a_stack_is_told_as_the_action_that_changed_it_left_it(tmp_path: Path) -> None:
    changed = Change("modified", "rF", "AWS::Lambda::Function", image=NewImage("", DIGEST))
    told = story(tmp_path)
    told.executions = [
        execution("app", Done("E", "CloudFormation", stack=stack("one", "updated", changed))),
        execution("app", Done("E", "CloudFormation", stack=stack("one", "unchanged")),
                  Done("E", "CloudFormation", stack=stack("two", "unchanged"))),
    ]  # fmt: skip
    document = results(told).as_json()
    jsonschema.validate(document, SCHEMA)
    statuses = {each["name"]: each["status"] for each in document["stacks"]}
    assert (statuses["one"], statuses["two"]) == ("updated", "unchanged")
    out = io.StringIO()
    summarize(results(told), tmp_path, out)
    assert "stack one: updated, 1 changes; new images: rF\n" in out.getvalue()
    assert "pipeline app: succeeded, 0 actions, 0.0 s (a push)\n" in out.getvalue()


def test_images_and_logs_come_from_the_builds(tmp_path: Path) -> None:
    report = {
        "functions": [{"name": "f", "status": "built"}], "bases": {"base:1": DIGEST},
        "layer": None, "deployment_tag": "build-7",
    }  # fmt: skip
    log = tmp_path / "logs/app-Build.log"
    failed = PipelineError("where", "what", "fix")
    told = story(tmp_path)
    told.executions = [
        execution("app", Done("Build", "CodeBuild", "failed", report=report, log=log,
                              error=failed), status="failed"),
    ]  # fmt: skip
    document = results(told, failed).as_json()
    assert document["functions"] == report["functions"]
    assert (document["bases"], document["deployment_tag"]) == ({"base:1": DIGEST}, "build-7")
    [action] = document["pipelines"][0]["stages"][0]["actions"]
    assert (action["log"], action["status"]) == ("logs/app-Build.log", "failed")
    assert action["error"]["message"] == "where: what"


def test_every_action_gets_a_line(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(out, None)
    progress.began("Build / Build", "build 1 of app")
    progress.news("Build / Build", "✓ function built")
    progress.ended("Build / Build", "failed", "it went wrong", 61, tmp_path / "none.log")
    assert out.getvalue() == (
        "  ▸ Build / Build: build 1 of app\n"
        "      ✓ function built\n"
        "  ✗ Build / Build: it went wrong, 1 m 1 s\n"
    )


@pytest.mark.parametrize(
    ("environ", "opening", "closing"),
    [
        ({"GITHUB_ACTIONS": "true"}, "::group::✓ Build / Build: done, 1.0 s", "::endgroup::"),
        ({"TF_BUILD": "True"}, "##[group]✓ Build / Build: done, 1.0 s", "##[endgroup]"),
    ],
)
def test_where_logs_fold_a_build_folds_with_its_whole_log(
    tmp_path: Path, environ: dict[str, str], opening: str, closing: str
) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    out = io.StringIO()
    progress = Progress(out, folds_of(environ))
    progress.began("Build / Build", "build 1 of app")
    progress.news("Build / Build", "✓ function built")
    progress.ended("Build / Build", "succeeded", "done", 1, log)
    progress.ended("Deploy / Execute", "succeeded", "done", 1, None)
    assert out.getvalue() == (
        f"{opening}\none\ntwo\n{closing}\n  ✓ Deploy / Execute: done, 1.0 s\n"
    )


def test_build_numbers_begin_anew_with_another_cloud(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "room/numbers.json", "stack-1")
    assert [numbers.next("a"), numbers.next("a"), numbers.next("b")] == [1, 2, 1]
    assert Numbers(tmp_path / "room/numbers.json", "stack-1").next("a") == 3
    assert Numbers(tmp_path / "room/numbers.json", "stack-2").next("a") == 1
    (tmp_path / "room/numbers.json").write_text("{")
    assert numbers.next("a") == 1
