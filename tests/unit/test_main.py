"""The command line as a user meets it: exit codes and messages, above all for wrong input."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from kit import trees
from moto import mock_aws

from ci.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with an empty home, no CI system, and git that looks for no repository above."""
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": os.environ["PATH"],
        "PIPELINE_HOME": str(tmp_path / "pipeline-home"),
        "PIPELINE_SOURCE": str(tmp_path / "tree"),
        "PIPELINE_REPORT": str(tmp_path / "out"),
    }


def _empty_dockerfiles(tree: Path) -> None:
    (tree / "dockerfiles").mkdir(parents=True)


def _without_dockerfile(tree: Path) -> None:
    trees.write(trees.tree(tree, "good") / "dockerfiles/bare/src/app.py", "")


def _both_spellings(tree: Path) -> None:
    trees.write(trees.tree(tree, "both") / "dockerfiles/both/DockerFile", "FROM scratch\n")


def _large_context(tree: Path) -> None:
    directory = trees.function(trees.tree(tree), "heavy")
    with (directory / "model.bin").open("wb") as file:
        file.truncate(2 * 10**9)


def _unset_argument(tree: Path) -> None:
    trees.tree(tree, "unset", dockerfile="ARG BASE\nFROM $BASE\n")


def _not_utf8(tree: Path) -> None:
    trees.tree(tree, "odd")
    (tree / "dockerfiles/odd/Dockerfile").write_bytes(b"FROM scratch # \xe9\n")


def _named(*names: str) -> Callable[[Path], None]:
    return lambda tree: trees.tree(tree, *names) and None


@pytest.mark.parametrize(
    ("make", "argv", "changes", "says"),
    [
        pytest.param(lambda tree: None, ["plan"], {}, ["tree: is no directory", "--source"],
                     id="no tree"),
        pytest.param(lambda tree: tree.mkdir(), ["app"], {}, ["has no directory dockerfiles"],
                     id="no dockerfiles"),
        pytest.param(_empty_dockerfiles, ["app"], {},
                     ["tree/dockerfiles: has no function", "dockerfiles/<function>/Dockerfile"],
                     id="empty dockerfiles"),
        pytest.param(_without_dockerfile, ["app"], {},
                     ["dockerfiles/bare: has no Dockerfile", "add one, or move"],
                     id="directory without Dockerfile"),
        pytest.param(_both_spellings, ["app"], {}, ["has both Dockerfile and DockerFile"],
                     id="two Dockerfiles"),
        pytest.param(_named("Upper-Case"), ["app"], {},
                     ["'stg-Upper-Case', which has upper-case letters", "upper-case"],
                     id="upper case"),
        pytest.param(_named("-dash"), ["app"], {},
                     ["'stg--dash'", "a letter or digit around", "to dash"], id="leading dash"),
        pytest.param(_named("x" * 253), ["app"], {}, ["has 257 characters; ECR takes 2 to 256"],
                     id="too long"),
        pytest.param(_named("with space"), ["app"], {}, ["has ' '", "to with-space"],
                     id="name with a space"),
        pytest.param(_named("größe"), ["app"], {}, ["ECR takes a-z", "to groe"],
                     id="name with Unicode"),
        pytest.param(_named("common-datalake-library"), ["app"], {},
                     ["127.0.0.1:5000/stg-common-datalake-library: the common layer",
                      "both go there"], id="two directories, one repository"),
        pytest.param(_named("a"), ["app"],
                     {"ECR_COMMON_DATALAKE_REPO_URL": "127.0.0.1:5000/stg-a"},
                     ["127.0.0.1:5000/stg-a", "both go there"], id="layer named as a function"),
        pytest.param(_named("routing-lambda", "redrive-lambda"),
                     ["app", "--only", "routing-lamda"], {},
                     ["--only routing-lamda: is no function", "did you mean routing-lambda?"],
                     id="only with a typo"),
        pytest.param(_named("a"), ["app", "--only", "zzz"], {}, ["there are a"],
                     id="only with nothing like it"),
        pytest.param(_named("a"), ["app", "--job", "3"], {},
                     ["--job: is no option", "did you mean --jobs?"], id="unknown option"),
        pytest.param(_named("a"), ["ap"], {}, ["ap: is no command", "did you mean app?"],
                     id="unknown command"),
        pytest.param(_named("a"), ["engine", "strat"], {},
                     ["'strat' is none of its actions", "did you mean start?"],
                     id="unknown action"),
        pytest.param(_named("a"), ["app", "routing-lambda"], {}, ["app --only NAME"],
                     id="function without --only"),
        pytest.param(_named("a"), ["app", "--jobs"], {}, ["--jobs", "expected one argument"],
                     id="option without value"),
        pytest.param(_named("a"), ["app", "--jobs", "0"], {}, ["'0' is no whole number"],
                     id="no jobs"),
        pytest.param(_named("a"), ["app"], {"PIPELINE_TARGET": "asw"},
                     ["PIPELINE_TARGET: 'asw' is none of local, aws", "did you mean aws?"],
                     id="misspelt value in the environment"),
        pytest.param(_named("a"), ["app"], {"PIPELINE_TARGTE": "aws"},
                     ["PIPELINE_TARGTE: is no setting", "did you mean PIPELINE_TARGET?"],
                     id="misspelt name in the environment"),
        pytest.param(_named("a"), ["app"], {"PIPELINE_TIMEOUT": "soon"},
                     ["PIPELINE_TIMEOUT: 'soon' is no duration"], id="no duration"),
        pytest.param(_named("a"), ["app", "--registry", "https://x.example"], {},
                     ["has a scheme; give the bare host"], id="registry with a scheme"),
        pytest.param(_named("a"), ["app"], {"ECR_COMMON_DATALAKE_REPO_URL": "x.example/y:1"},
                     ["has a tag or digest"], id="layer repository with a tag"),
        pytest.param(_named("a"), ["app"], {"RESOURCE_PREFIX": "Dev"},
                     ["RESOURCE_PREFIX: 'Dev' has upper-case", "such as dev"], id="bad prefix"),
        pytest.param(_named("a"), ["app"], {"AWS_DEFAULT_REGION": "us-east"},
                     ["'us-east' is no AWS region"], id="no region"),
        pytest.param(_named("a"), ["plan"], {"CODEBUILD_BUILD_ID": "no-colon"},
                     ["CODEBUILD_BUILD_ID: 'no-colon' is not of the form project:build"],
                     id="malformed CodeBuild id"),
        pytest.param(_named("a"), ["plan"], {"CODEBUILD_BUILD_ID": "p:a/b"},
                     ["CODEBUILD_BUILD_ID: makes the tag 'build-a/b', which no registry takes"],
                     id="characters that no tag takes"),
        pytest.param(_named("a"), ["plan", "--build-id", "x" * 123], {},
                     ["--build-id: makes the tag", "at most 128"], id="tag too long"),
        pytest.param(_named("a"), ["plan", "--commit", "main"], {},
                     ["--commit: 'main' is no commit"], id="branch for a commit"),
        pytest.param(_named("a"), ["plan", "--ca-bundle", "nowhere.pem"], {},
                     ["--ca-bundle: nowhere.pem is no file"], id="no CA bundle"),
        pytest.param(_named("a"),
                     ["app", "--registry", "012345678901.dkr.ecr.us-east-1.amazonaws.com"], {},
                     ["--target local never touches an account", "add --target aws"],
                     id="account's registry without --target aws"),
        pytest.param(_named("a"), ["app", "--layer-digest", "sha256:abc"], {},
                     ["--layer-digest: 'sha256:abc' is no digest of the form sha256:"],
                     id="no digest"),
        pytest.param(_named("a"), ["rehearse", "--target", "aws"], {},
                     ["rehearse is always local"], id="rehearsal in an account"),
        pytest.param(_named("a"), ["layer", "--layer", "nowhere"], {},
                     ["nowhere: is no directory", "--layer"], id="no layer"),
        pytest.param(_large_context, ["app"], {},
                     ["heavy: has a build context of 2.0 GB", "model.bin (2.0 GB)",
                      ".dockerignore"], id="context of 2 GB"),
        pytest.param(_unset_argument, ["app"], {},
                     ["unset/Dockerfile:2: FROM $BASE is blank: BASE has no value"],
                     id="FROM of an unset argument"),
        pytest.param(_not_utf8, ["app"], {}, ["odd/Dockerfile: is not UTF-8 (byte 15)"],
                     id="Dockerfile in another encoding"),
    ],
)  # fmt: skip
def test_wrong_input_starts_nothing_and_says_where_what_and_what_next(
    make: Callable[[Path], None],
    argv: list[str],
    changes: dict[str, str],
    says: list[str],
    environ: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / "tree")
    assert main(argv, environ | changes) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    for words in says:
        assert words in shown.err
    assert "\n  → " in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "pipeline-home").exists()
    assert not (tmp_path / "out").exists()


def test_all_problems_are_told_at_once(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _without_dockerfile(tmp_path / "tree")
    trees.tree(tmp_path / "tree", "BIG", "-dash")
    trees.write(tmp_path / "tree/dockerfiles/unset/Dockerfile", "ARG X\nFROM ${X}\n")
    argv = ["app", "--build-id", "a b", "--commit", "zzz", "--ca-bundle", "nowhere"]
    assert main(argv, environ) == 2
    told = capsys.readouterr().err
    for problem in ("bare", "BIG", "-dash", "unset", "--build-id", "--commit", "--ca-bundle"):
        assert problem in told
    assert told.count("\n  → ") == 7


def test_a_failing_registry_is_exit_code_1_and_in_the_report(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.tree(tmp_path / "tree", "a", dockerfile="FROM scratch\nCMD x\n")
    assert main(["app", "--registry", "127.0.0.1:1"], environ) == 1
    told = capsys.readouterr()
    assert "127.0.0.1:1" in told.err
    assert "see that the registry runs" in told.err
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["outcome"] == "failed"
    assert report["error"]["class"] == "RegistryError"
    assert [function["status"] for function in report["functions"]] == ["skipped"]


def test_missing_ecr_repositories_are_named_with_what_to_add(
    environ: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trees.tree(tmp_path / "tree", "a", "b", "c")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        ecr = boto3.client("ecr", region_name="us-east-1")
        ecr.create_repository(repositoryName="stg-b")
        assert main(["app", "--target", "aws"], environ) == 2
    told = capsys.readouterr().err
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    for name in ("a", "c"):
        assert f"{host}/stg-{name}: no such ECR repository" in told
        assert f"--repository-name stg-{name}" in told
    assert "stg-b:" not in told
    assert "AWS::ECR::Repository" in told
    assert "codepipeline/codepipeline.yaml" in told


def test_without_credentials_an_account_is_no_target(
    environ: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trees.tree(tmp_path / "tree", "a")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert main(["app", "--target", "aws"], environ) == 2
    assert "AWS credentials: there are none" in capsys.readouterr().err


def test_plan_tells_what_a_new_function_lacks_in_the_templates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("dockerfiles", "cfn", "codepipeline", "common_layer"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    argv = ["plan", "--source", str(tmp_path), "--layer", str(tmp_path / "common_layer")]
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert main(argv, environ) == 0
    assert "no image repository" not in capsys.readouterr().out
    trees.function(tmp_path, "stage-c-new")
    assert main(argv, environ) == 0
    told = capsys.readouterr().out
    assert "has no image repository for dockerfiles/stage-c-new" in told
    assert "dockerfiles/stage-c-new: is run by no template in cfn/" in told


def test_engine_status_and_stop_without_a_daemon(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", "status"], environ) == 0
    assert "not running" in capsys.readouterr().out
    assert main(["engine", "stop", "--json"], environ) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": False}


def test_without_git_and_commit_images_get_latest_and_the_user_is_told(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.tree(tmp_path / "tree", "a")
    assert main(["plan", "--json"], environ) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["tags"] == ["latest"]
    assert plan["deployment_tag"] == "latest"
    assert "--build-id or --commit" in plan["notes"][0]


@pytest.mark.parametrize(
    ("argv", "code", "stream", "words"),
    [
        (["plan"], 0, "stdout", "dev-routing-lambda"),
        (["--help"], 0, "stdout", "--layer-repository"),
        (["app", "--only", "nothing"], 2, "stderr", "is no function"),
        (["ap"], 2, "stderr", "did you mean app?"),
    ],
)
def test_answers_that_need_no_engine_come_at_once(
    argv: list[str], code: int, stream: str, words: str
) -> None:
    """Within 0.5 s of processor time, which other programs on this machine do not add to; the
    best of three."""
    seconds = []
    for _ in range(3):
        before = _used_by_children()
        done = subprocess.run(
            [sys.executable, str(ROOT / "ci/main.py"), *argv],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        seconds.append(_used_by_children() - before)
    assert done.returncode == code
    assert words in getattr(done, stream)
    assert min(seconds) < 0.5


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_modules_of_the_pipeline_are_importable_once_only() -> None:
    """Run as a file, ``ci/`` must not stay first on ``sys.path``."""
    code = (
        "import runpy, sys; sys.argv = ['main.py', '--help']; sys.path[0] = 'ci'\n"
        "try: runpy.run_path('ci/main.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import importlib.util as u; print(u.find_spec('dockerfile_text'), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr.strip() == "None"
