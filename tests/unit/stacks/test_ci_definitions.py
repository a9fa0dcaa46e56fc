"""Buildspecs and the definitions for other CI systems: short, explicit, consistent."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kit.templates import ROOT

from ci.settings import parse

HERE = ROOT / "codepipeline"
BUILDSPECS = ["buildspec-app.yaml", "buildspec-layer.yaml", "buildspec-record.yaml"]
SYSTEMS = ["Jenkinsfile", "github-actions.yaml", "gitlab-ci.yaml"]
CALL = re.compile(r"((?:dagger run )?python ci/main\.py) ([^'\"\n]+)")


def calls(name: str) -> list[tuple[str, list[str]]]:
    found = CALL.findall((HERE / name).read_text())
    return [(program, words.split()) for program, words in found]


@pytest.mark.parametrize("name", BUILDSPECS + SYSTEMS)
def test_definitions_are_short(name):
    assert len((HERE / name).read_text().splitlines()) < 40


@pytest.mark.parametrize("name", BUILDSPECS + SYSTEMS)
def test_every_definition_says_its_target_itself(name):
    assert calls(name)
    for program, words in calls(name):
        command, *options = words
        if command == "plan":  # a pull request touches no account
            assert options == []
            continue
        assert options == ["--target", "aws"]
        # What builds does so through Dagger.
        assert program.startswith("dagger run") == (command != "record")
        assert parse([command, *options], {}).target == "aws"


@pytest.mark.parametrize("name", SYSTEMS)
def test_other_systems_plan_for_proposals_and_deploy_the_branch(name):
    assert [words[0] for _, words in calls(name)] == ["plan", "layer", "app", "deploy"]


@pytest.mark.parametrize("name", BUILDSPECS)
def test_buildspecs_set_up_then_build(name):
    spec = yaml.safe_load((HERE / name).read_text())
    assert spec["version"] == 0.2
    assert spec["phases"]["install"]["commands"] == ["sh codepipeline/tools.sh"]
    assert len(spec["phases"]["build"]["commands"]) == 1
    assert spec.keys() - {"artifacts"} == {"version", "phases"}


def test_the_applications_artifact_is_the_seeds():
    artifacts = yaml.safe_load((HERE / "buildspec-app.yaml").read_text())["artifacts"]
    assert artifacts == {
        "base-directory": "out",
        "files": ["cfn/**/*"],
        "name": "builds/$CODEBUILD_BUILD_NUMBER/cfn-artifacts",
    }


def test_github_gets_no_keys_and_proposals_no_account():
    definition = yaml.safe_load((HERE / "github-actions.yaml").read_text())
    assert definition["permissions"] == {"contents": "read"}
    plan, deploy = definition["jobs"]["plan"], definition["jobs"]["deploy"]
    assert plan["if"] == "github.event_name == 'pull_request'"
    assert "permissions" not in plan
    assert "aws-actions" not in json.dumps(plan)
    assert deploy["if"] == "github.event_name == 'push'"
    assert deploy["permissions"] == {"contents": "read", "id-token": "write"}
    text = (HERE / "github-actions.yaml").read_text()
    assert "secrets." not in text
    assert "ACCESS_KEY" not in text


def test_one_version_of_dagger_everywhere():
    lock = (ROOT / "requirements.lock").read_text()
    version = re.search(r"^dagger-io==(.+)$", lock, re.MULTILINE)[1]
    assert f"dagger_version={version} " in (HERE / "tools.sh").read_text()
    assert f"dagger.io/engine:v{version}\n" in (HERE / "gitlab-ci.yaml").read_text()


@pytest.fixture
def host(tmp_path: Path):
    """A build host's directory and environment; the download of Dagger is only told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "ln"):
        (programs / name).symlink_to(shutil.which(name))
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    curl = programs / "curl"
    curl.write_text('#!/bin/sh\necho "echo version \\$DAGGER_VERSION in \\$BIN_DIR"\n')
    for program in (python, curl):
        program.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "codepipeline").mkdir(parents=True)
    shutil.copy(HERE / "tools.sh", tree / "codepipeline")

    def run(*words: str) -> str:
        done = subprocess.run(
            words,
            cwd=tree,
            env={"PATH": str(programs), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return tree, programs, run


def test_tools_that_are_there_are_used(host):
    tree, programs, run = host
    (tree / "ci").symlink_to(ROOT / "ci")
    (programs / "dagger").symlink_to(sys.executable)
    assert run("sh", "codepipeline/tools.sh") == ""


def test_a_missing_dagger_is_fetched_in_its_version_beside_python(host):
    tree, _, run = host
    (tree / "ci").symlink_to(ROOT / "ci")
    assert re.fullmatch(
        rf"version [0-9.]+ in {re.escape(os.path.dirname(sys.executable))}\n",  # noqa: PTH120
        run("sh", "codepipeline/tools.sh"),
    )


def test_a_repository_without_the_pipelines_source_calls_the_installed_one(host):
    tree, programs, run = host
    (programs / "dagger").symlink_to(sys.executable)
    run("sh", "codepipeline/tools.sh")
    assert (tree / "ci").resolve() == ROOT / "ci"
    assert "Commands" in run("python", "ci/main.py", "--help")
    run("sh", "codepipeline/tools.sh")  # once more: it is there


def test_the_oidc_role_deploys_the_stacks_that_there_are():
    text = (HERE / "github-oidc.yaml").read_text() + (HERE / "codepipeline.yaml").read_text()
    named = set(re.findall(r":stack/([\w-]+)/\*", text))
    assert named == {path.parent.name for path in ROOT.glob("cfn/*/template.yaml")}
