"""What a developer pushes: the working tree as git would take it, and only what changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from kit.trees import write

from ci import settings
from ci.local.codepipeline.repositories import Git, Repositories, Repository
from ci.rehearsal import contents, developer
from ci.settings import Settings

GIT = Git(os.environ["PATH"])
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in (
        "ci/main.py", "codepipeline/codepipeline.yaml", "common_layer/Dockerfile",
        "dockerfiles/one/Dockerfile", "cfn/stack/template.yaml", "docs/not-pushed.md",
        "cfn/__pycache__/x.pyc", "out/report.json", "pyproject.toml",
    ):  # fmt: skip
        write(root / name, name)
    (root / "dockerfiles/one/run.sh").write_text("#!/bin/sh\n")
    (root / "dockerfiles/one/run.sh").chmod(0o755)
    (root / "dockerfiles/one/link").symlink_to("run.sh")
    return root


def chosen(tree: Path, *argv: str) -> Settings:
    return settings.parse(["rehearse", "--source", str(tree), *argv], {})


def checkout(tree: Path) -> None:
    identity = ["-c", "user.name=D", "-c", "user.email=d@example.com"]
    for words in (["init", "-q"], ["add", "ci", "cfn/stack"], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tree, env=ENVIRON, check=True)


OF_PIPELINE = {"ci/main.py", "codepipeline/codepipeline.yaml", "pyproject.toml"}


@pytest.mark.parametrize("in_git", [False, True])
def test_each_repository_holds_what_its_pipeline_builds(tree: Path, in_git: bool) -> None:
    if in_git:
        checkout(tree)
        (tree / ".gitignore").write_text("__pycache__/\n")
    chosen_ = chosen(tree)
    assert contents.of_layer(chosen_, ENVIRON).keys() == OF_PIPELINE | {"common_layer/Dockerfile"}
    assert contents.of_application(chosen_, ENVIRON).keys() == OF_PIPELINE | {
        "cfn/stack/template.yaml", "dockerfiles/one/Dockerfile", "dockerfiles/one/link",
        "dockerfiles/one/run.sh",
    }  # fmt: skip


def test_a_layer_elsewhere_goes_where_the_build_looks_for_it(tree: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/Dockerfile", "FROM scratch\n")
    files = contents.of_layer(chosen(tree, "--layer", str(tmp_path / "elsewhere")), ENVIRON)
    assert files["common_layer/Dockerfile"] == tmp_path / "elsewhere/Dockerfile"


def test_what_is_ignored_or_deleted_is_not_pushed_and_uncommitted_changes_are(tree: Path) -> None:
    checkout(tree)
    (tree / ".gitignore").write_text("*.secret\n")
    write(tree / "cfn/stack/a.secret", "s")
    write(tree / "cfn/stack/new.yaml", "new")
    write(tree / "ci/main.py", "changed")
    (tree / "cfn/stack/template.yaml").unlink()
    files = contents.of_application(chosen(tree), ENVIRON)
    assert "cfn/stack/a.secret" not in files
    assert "cfn/stack/template.yaml" not in files
    assert files["cfn/stack/new.yaml"].read_text() == "new"
    assert files["ci/main.py"].read_text() == "changed"


def test_a_git_hooks_variables_do_not_mislead(tree: Path) -> None:
    checkout(tree)
    (tree / ".gitignore").write_text("__pycache__/\n")
    environ = ENVIRON | {"GIT_DIR": "/nonexistent", "GIT_INDEX_FILE": "/nonexistent"}
    assert contents.of_application(chosen(tree), environ) == contents.of_application(
        chosen(tree), ENVIRON
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repositories(tmp_path / "codecommit", GIT).at("dev-AppCode", "id")


def test_only_what_changed_is_pushed(tree: Path, repository: Repository) -> None:
    files = contents.of_application(chosen(tree), ENVIRON)
    first = developer.push(repository, "main", files)
    assert first is not None
    assert (first.before, set(first.changed)) == ("", set(files))
    assert repository.commit(first.commit).title == "Initial commit"
    assert developer.push(repository, "main", files) is None
    write(tree / "dockerfiles/one/Dockerfile", "FROM scratch\n")
    second = developer.push(repository, "main", files)
    assert second is not None
    assert (second.before, second.changed) == (first.commit, ("dockerfiles/one/Dockerfile",))
    assert repository.commit(second.commit).title == "Change dockerfiles/one/Dockerfile"
    gone = {name: path for name, path in files.items() if not name.startswith("cfn/")}
    third = developer.push(repository, "main", gone)
    assert third is not None
    assert third.changed == ("cfn/stack/template.yaml",)


def test_modes_and_links_are_gits(tree: Path, repository: Repository) -> None:
    made = developer.push(repository, "main", contents.of_application(chosen(tree), ENVIRON))
    assert made is not None
    listed = GIT(["ls-tree", "-r", "main", "dockerfiles"], repository.path)
    assert listed is not None
    modes = {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()}
    assert modes == {
        "dockerfiles/one/Dockerfile": "100644",
        "dockerfiles/one/link": "120000",
        "dockerfiles/one/run.sh": "100755",
    }


def test_a_push_goes_to_its_branch(tree: Path, repository: Repository) -> None:
    files = contents.of_application(chosen(tree), ENVIRON)
    assert developer.push(repository, "release", files)
    assert repository.head("release")
    assert not repository.head("main")
