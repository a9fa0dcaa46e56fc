from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ci.errors import InputErrors
from ci.planning.build_info import BuildInfo, detect
from ci.settings import parse

SHA = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "a" * 64


def found(environ: dict[str, str], source: Path, *argv: str) -> BuildInfo:
    return detect(parse(["plan", "--source", str(source), *argv], environ), environ)


def git(directory: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *words], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("environ", "build", "commit"),
    [
        pytest.param(
            {"CODEBUILD_BUILD_ID": "project:1f2e-3d", "CODEBUILD_RESOLVED_SOURCE_VERSION": SHA},
            "build-1f2e-3d", "0123456", id="CodeBuild"),
        pytest.param(
            {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_RESOLVED_SOURCE_VERSION": DIGEST,
             "PIPELINE_COMMIT": SHA}, "build-1", "0123456",
            id="CodePipeline with an ECR source, the code source's commit handed on"),
        pytest.param(
            {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_RESOLVED_SOURCE_VERSION": DIGEST,
             "CODEBUILD_SOURCE_VERSION_App": SHA}, "build-1", "0123456",
            id="CodeBuild with an ECR source, a secondary source's commit"),
        pytest.param(
            {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_RESOLVED_SOURCE_VERSION": DIGEST,
             "CODEBUILD_SOURCE_VERSION_A": SHA, "CODEBUILD_SOURCE_VERSION_B": SHA[::-1]},
            "build-1", None, id="two secondary sources, neither of which is the code for sure"),
        pytest.param({"CODEBUILD_BUILD_ID": "p:1"}, "build-1", None, id="CodeBuild without source"),
        pytest.param(
            {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "2",
             "GITHUB_SHA": SHA}, "build-77-2", "0123456", id="GitHub Actions"),
        pytest.param(
            {"GITLAB_CI": "true", "CI_PIPELINE_ID": "9", "CI_COMMIT_SHA": SHA.upper()},
            "build-9", "0123456", id="GitLab CI"),
        pytest.param(
            {"JENKINS_URL": "https://j", "BUILD_NUMBER": "5", "GIT_COMMIT": SHA},
            "build-5", "0123456", id="Jenkins"),
        pytest.param(
            {"JENKINS_URL": "https://j", "BUILD_NUMBER": "5", "BRANCH_NAME": "feature/x y"},
            "build-feature-x-y-5", None, id="Jenkins, multibranch"),
        pytest.param({"PIPELINE_BUILD_ID": "42", "PIPELINE_COMMIT": SHA}, "build-42", "0123456",
                     id="any other CI system"),
        pytest.param({}, None, None, id="nothing"),
    ],
)  # fmt: skip
def test_every_ci_system_gives_build_and_commit(
    environ: dict[str, str], build: str | None, commit: str | None, tmp_path: Path
) -> None:
    info = found(environ, tmp_path)
    assert (info.build.value if info.build else None) == build
    assert (info.commit.value if info.commit else None) == commit
    assert info.tags == (*filter(None, (build, commit)), "latest")
    assert info.deployment_tag.value == (build or commit or "latest")


def test_a_git_checkout_gives_the_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert found({}, tmp_path).commit is None
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("1")
    commit = found({}, tmp_path).commit
    assert commit is not None
    assert (commit.value, commit.origin) == (head[:7], "git")
    (tmp_path / "file").write_text("2")
    commit = found({}, tmp_path).commit
    assert commit is not None
    assert commit.origin == "git, with uncommitted changes"


def test_the_users_own_word_comes_first(tmp_path: Path) -> None:
    environ = {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_RESOLVED_SOURCE_VERSION": SHA}
    info = found(environ, tmp_path, "--build-id", "7", "--commit", "f" * 40)
    assert info.tags == ("build-7", "fffffff", "latest")
    assert info.build is not None
    assert info.build.origin == "--build-id"


def test_without_a_git_program_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found({}, tmp_path).commit is None


@pytest.mark.parametrize("text", ["no-colon", "project:", ":id", "a:b:c"])
def test_a_malformed_codebuild_id_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match="not of the form project:build"):
        found({"CODEBUILD_BUILD_ID": text}, tmp_path)
