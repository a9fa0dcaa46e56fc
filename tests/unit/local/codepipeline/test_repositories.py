"""Real git repositories, and the zips that CodePipeline would make of them."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from ci.errors import PipelineError
from ci.local.codepipeline import archives
from ci.local.codepipeline.repositories import Git, Repositories, Repository

GIT = Git(os.environ["PATH"])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one commit on main: a program, a link, a file in a folder."""
    found = Repositories(tmp_path / "codecommit", GIT).at("dev-Code", "id-1")
    clone = tmp_path / "clone"
    assert GIT(["clone", "--quiet", str(found.path), str(clone)], tmp_path) is not None
    (clone / "folder").mkdir()
    (clone / "folder/file.txt").write_text("text\n")
    (clone / "run.sh").write_text("#!/bin/sh\n")
    (clone / "run.sh").chmod(0o755)
    (clone / "link").symlink_to("folder/file.txt")
    identity = ["-c", "user.name=D. Eveloper", "-c", "user.email=d@example.com"]
    for words in (
        ["checkout", "-q", "-b", "main"],
        ["add", "."],
        [*identity, "commit", "-qm", "First\n\nmore"],
        ["push", "-q", "origin", "main"],
    ):
        assert GIT(words, clone) is not None
    return found


def test_commits_are_told(repository: Repository) -> None:
    commit = repository.commit("refs/heads/main")
    assert commit == repository.commit(commit.id)
    assert commit.title == "First"
    assert commit.message == "First\n\nmore"
    assert repository.head("main") == commit.id
    assert repository.head("other") == ""


@pytest.mark.parametrize(
    ("revision", "what"), [("refs/heads/other", "has no branch other"), ("0" * 40, "has no commit")]
)
def test_what_is_not_there_is_told(repository: Repository, revision: str, what: str) -> None:
    with pytest.raises(PipelineError, match=f"repository dev-Code: {what}"):
        repository.commit(revision)


def test_the_zip_has_neither_git_nor_links_nor_modes(
    repository: Repository, tmp_path: Path
) -> None:
    archive = tmp_path / "source.zip"
    repository.archive(repository.commit("refs/heads/main"), archive)
    assert archives.names_of(archive) == ["folder/file.txt", "run.sh"]
    with zipfile.ZipFile(archive) as files:
        assert {entry.external_attr >> 16 for entry in files.infolist()} == {0}
    before = os.umask(0o077)
    try:
        archives.unpacked(archive, tmp_path / "src")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "src").rglob("*")}
    assert modes == {"folder": 0o755, "file.txt": 0o644, "run.sh": 0o644}
    assert archives.text_of(archive, "folder/file.txt") == "text\n"
    assert archives.text_of(archive, "none") is None


def test_unpacking_begins_with_an_empty_directory(repository: Repository, tmp_path: Path) -> None:
    archive = tmp_path / "source.zip"
    repository.archive(repository.commit("refs/heads/main"), archive)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/of-before").write_text("")
    archives.unpacked(archive, tmp_path / "src")
    assert not (tmp_path / "src/of-before").exists()


def test_the_repository_of_another_cloud_is_another(repository: Repository, tmp_path: Path) -> None:
    repositories = Repositories(tmp_path / "codecommit", GIT)
    assert repositories.at("dev-Code", "id-1").head("main")
    assert not repositories.at("dev-Code", "id-2").head("main")


def test_git_takes_nothing_from_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\nname = Somebody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert GIT(["config", "--get", "user.name"], tmp_path) is None
    assert GIT(["--version"], tmp_path) is not None
