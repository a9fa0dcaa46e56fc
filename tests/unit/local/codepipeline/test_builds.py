"""Buildspecs run for real, in the shell of this machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from ci.errors import PipelineError
from ci.local.codepipeline import builds
from ci.local.codepipeline.builds import Built, Order, Project

ARN = "arn:aws:codebuild:us-east-1:123456789012:project/project"
HOST = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Built]:
    """Runs a buildspec to its end."""
    source = tmp_path / "src"
    source.mkdir()

    def do(text: str, **more: object) -> Built:
        order = make(tmp_path, text, **more)
        return asyncio.run(builds.run(order, tmp_path, tmp_path / "log"))

    return do


def make(tmp_path: Path, text: str, **more: object) -> Order:
    project = Project("project", ARN, "version: 0.2\n" + text, "image:6", minutes=1)
    given: dict[str, object] = {
        "project": project, "number": 3, "initiator": "codepipeline/pipeline", "source": "Code",
        "inputs": {"Code": tmp_path / "src"}, "version": "c" * 40, "location": "arn:aws:s3:::b/k",
        "region": "eu-central-1", "variables": {}, "host": HOST, "redirected": {}, "id": "uuid",
    }  # fmt: skip
    return Order(**(given | more))  # type: ignore[arg-type]


def log(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


def test_commands_share_one_shell(run: Callable[..., Built], tmp_path: Path) -> None:
    run(
        "phases:\n"
        "  install: {commands: [mkdir sub, cd sub, A=1, export B=2]}\n"
        "  build: {commands: ['echo at $(basename $PWD) $A $B', env]}\n"
    )
    lines = log(tmp_path).splitlines()
    assert "at sub 1 2" in lines
    assert "B=2" in lines
    assert "A=1" not in lines


def test_builds_see_what_codebuild_gives_them(run: Callable[..., Built], tmp_path: Path) -> None:
    project = Project(
        "project", ARN,
        "version: 0.2\nenv: {variables: {W: spec, X: spec, Y: spec, Z: spec}}\n"
        "phases: {build: {commands: [env]}}\n",
        "image:6", key="arn:key", variables={"X": "project", "Y": "project", "Z": "project"},
    )  # fmt: skip
    run(
        "", project=project, variables={"Y": "action", "Z": "action"}, redirected={"Z": "here"},
        inputs={"Code": tmp_path / "src", "More": tmp_path / "more"},
    )  # fmt: skip
    seen = dict(line.split("=", 1) for line in log(tmp_path).splitlines() if "=" in line)
    assert {name: seen[name] for name in "WXYZ"} == {
        "W": "spec", "X": "project", "Y": "action", "Z": "here",
    }  # fmt: skip
    assert abs(int(seen.pop("CODEBUILD_START_TIME")) / 1000 - time.time()) < 60
    mine = {
        k: v for k, v in seen.items() if k.startswith(("CODEBUILD_", "AWS_")) and "FILE" not in k
    }
    assert mine == {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "CODEBUILD_BUILD_ARN": "arn:aws:codebuild:us-east-1:123456789012:build/project:uuid",
        "CODEBUILD_BUILD_ID": "project:uuid",
        "CODEBUILD_BUILD_IMAGE": "image:6",
        "CODEBUILD_BUILD_NUMBER": "3",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": "codepipeline/pipeline",
        "CODEBUILD_KMS_KEY_ID": "arn:key",
        "CODEBUILD_LOG_PATH": "uuid",
        "CODEBUILD_PROJECT_ARN": ARN,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": "c" * 40,
        "CODEBUILD_SOURCE_REPO_URL": "",
        "CODEBUILD_SOURCE_VERSION": "arn:aws:s3:::b/k",
        "CODEBUILD_SRC_DIR": str(tmp_path / "src"),
        "CODEBUILD_SRC_DIR_More": str(tmp_path / "more"),
    }
    assert seen["HOME"] == "/nonexistent"
    assert "VIRTUAL_ENV" not in seen


def test_a_build_inherits_nothing_else(
    run: Callable[..., Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-user")
    run("phases: {build: {commands: [env]}}\n")
    assert "of-the-user" not in log(tmp_path)


@pytest.mark.parametrize(
    ("command", "code"),
    [("false", 1), ("exit 7", 7), ("(exit 9)", 9), ("none-such-program", 127), ("if then fi", 2),
     ("kill -9 $$", 137)],
)  # fmt: skip
def test_a_failing_command_fails_the_build_and_its_end_is_shown(
    run: Callable[..., Built], tmp_path: Path, command: str, code: int
) -> None:
    with pytest.raises(PipelineError) as error:
        run(f"phases:\n  build:\n    commands: [echo last words, {command}, echo never]\n")
    assert error.value.where == "build project"
    assert f"BUILD: `{command}` ended with exit code {code}" in error.value.what
    assert "│ last words" in error.value.what
    assert str(tmp_path / "log") in error.value.fix
    assert "never" not in log(tmp_path).replace("echo never", "")


@pytest.mark.parametrize(
    ("failing", "ran"),
    [
        ("install", "install"),
        ("pre_build", "install pre_build"),
        ("build", "install pre_build build post_build"),
        ("post_build", "install pre_build build post_build"),
    ],
)
def test_what_follows_a_failed_phase(
    run: Callable[..., Built], tmp_path: Path, failing: str, ran: str
) -> None:
    names = ("install", "pre_build", "build", "post_build")
    phases = "".join(
        f"  {name}:\n    commands: [echo ran-{name} $CODEBUILD_BUILD_SUCCEEDING, "
        f"{'false' if name == failing else 'true'}]\n"
        for name in names
    )
    with pytest.raises(PipelineError, match=failing.upper()):
        run(f"phases:\n{phases}")
    lines = [each for each in log(tmp_path).splitlines() if each.startswith("ran-")]
    assert [line.split()[0] for line in lines] == [f"ran-{name}" for name in ran.split()]
    assert lines[-1].endswith("0" if (failing, lines[-1][4:9]) == ("build", "post_") else "1")


@pytest.mark.parametrize(("on_failure", "goes_on"), [("ABORT", False), ("CONTINUE", True)])
def test_on_failure_decides(
    run: Callable[..., Built], tmp_path: Path, on_failure: str, goes_on: bool
) -> None:
    with pytest.raises(PipelineError, match="PRE_BUILD: `false`"):
        run(
            f"phases:\n  pre_build: {{on-failure: {on_failure}, commands: ['false']}}\n"
            "  build: {commands: [echo went on]}\n"
        )
    assert ("\nwent on" in log(tmp_path)) == goes_on


def test_finally_runs_whatever_became_of_the_commands(
    run: Callable[..., Built], tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match="`exit 3`"):
        run("phases: {build: {commands: [exit 3, echo skipped], finally: [echo cleaned up]}}\n")
    assert "\ncleaned up\n" in log(tmp_path)
    assert "\nskipped" not in log(tmp_path)


def test_exported_variables_and_the_artifact(run: Callable[..., Built], tmp_path: Path) -> None:
    built = run(
        "env: {exported-variables: [A, B]}\n"
        "phases: {build: {commands: [mkdir -p out/cfn/one out/logs, 'echo x >out/cfn/one/t.yaml', "
        "'echo y >out/cfn/top', 'echo z >out/logs/l', 'export A=\"1 = one\"', C=3]}}\n"
        "artifacts: {base-directory: out, files: ['cfn/**/*'], "
        "name: builds/$CODEBUILD_BUILD_NUMBER/artifacts}\n"
    )
    assert built.exported == {"A": "1 = one", "B": ""}
    assert [name for name, _ in built.files] == ["cfn/one/t.yaml", "cfn/top"]
    assert built.name == "builds/3/artifacts"


@pytest.mark.parametrize(
    ("artifacts", "names"),
    [
        ("files: ['**/*']", "a/b/deep.txt a/x.txt top.txt"),
        ("files: ['*']", "top.txt"),
        ("files: ['a/*']", "a/x.txt"),
        ("files: [top.txt, a/b/deep.txt]", "a/b/deep.txt top.txt"),
        ("files: ['**/*'], exclude-paths: ['a/b/**/*']", "a/x.txt top.txt"),
        ("files: ['**/*'], base-directory: a", "b/deep.txt x.txt"),
        ("files: ['a/**/*'], discard-paths: yes", "deep.txt x.txt"),
        ("files: ['?op.txt']", "top.txt"),
    ],
)
def test_globs_choose_the_artifacts_files(
    run: Callable[..., Built], tmp_path: Path, artifacts: str, names: str
) -> None:
    (tmp_path / "src/a/b").mkdir(parents=True)
    for name in ("top.txt", "a/x.txt", "a/b/deep.txt"):
        (tmp_path / "src" / name).write_text("")
    built = run(f"phases: {{build: {{commands: ['true']}}}}\nartifacts: {{{artifacts}}}\n")
    assert " ".join(name for name, _ in built.files) == names


@pytest.mark.parametrize(
    ("artifacts", "what"),
    [
        ("files: [none.txt]", "no matching artifact paths found: none.txt"),
        ("files: ['*'], base-directory: none", "base-directory none is not there"),
        ("files: ['*'], base-directory: ../..", "base-directory ../.. is outside of the source"),
        ("files: ['**/*'], discard-paths: yes", "two files of the name x.txt"),
    ],
)
def test_an_artifact_that_cannot_be_made_fails_the_build(
    run: Callable[..., Built], tmp_path: Path, artifacts: str, what: str
) -> None:
    for folder in ("a", "b"):
        (tmp_path / "src" / folder).mkdir()
        (tmp_path / "src" / folder / "x.txt").write_text("")
    with pytest.raises(PipelineError) as error:
        run(f"phases: {{build: {{commands: ['true']}}}}\nartifacts: {{{artifacts}}}\n")
    assert f"UPLOAD_ARTIFACTS: {what}" in error.value.what or what in error.value.what


def test_a_buildspec_that_is_not_there_is_told(run: Callable[..., Built]) -> None:
    project = Project("project", ARN, "codepipeline/none.yaml", "image")
    with pytest.raises(PipelineError) as error:
        run("", project=project)
    assert error.value.where == "Code::codepipeline/none.yaml"
    assert "is not there" in error.value.what


def test_a_build_has_its_time(run: Callable[..., Built], tmp_path: Path) -> None:
    project = Project(
        "project", ARN, "version: 0.2\nphases: {build: {commands: [sleep 61.25]}}\n", "image",
        minutes=0.01,
    )  # fmt: skip
    with pytest.raises(PipelineError, match=r"took longer than 0\.01 min"):
        run("", project=project)
    assert not _running("sleep 61.25")


def test_a_cancelled_build_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    spec = "phases: {build: {commands: ['sleep 62.5 & sleep 62.75']}}\n"

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(builds.run, make(tmp_path, spec), tmp_path, tmp_path / "log")
            while not (_running("sleep 62.5") and _running("sleep 62.75")):  # noqa: ASYNC110
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 4.5
    assert not _running("sleep 62.5")
    assert not _running("sleep 62.75")


def _running(command: str) -> bool:
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize(
    ("properties", "what"),
    [
        ({"Source": {"Type": "GITHUB"}, "Artifacts": {"Type": "CODEPIPELINE"}},
         "has Source of the type GITHUB"),
        ({"Source": {"Type": "CODEPIPELINE"}, "Artifacts": {"Type": "S3"}},
         "has Artifacts of the type S3"),
        ({"Source": {"Type": "CODEPIPELINE"}, "Artifacts": {"Type": "CODEPIPELINE"},
          "Environment": {"EnvironmentVariables": [
              {"Name": "A", "Value": "a", "Type": "SECRETS_MANAGER"}]}},
         "has the variable A of the type SECRETS_MANAGER"),
    ],
)  # fmt: skip
def test_a_project_that_no_pipeline_can_use_is_told(properties: dict, what: str) -> None:
    with pytest.raises(PipelineError, match="CodeBuild project project") as error:
        builds.project({"Name": "project"} | properties, ARN)
    assert what in error.value.what
