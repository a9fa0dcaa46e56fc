"""CodeCommit's repositories: bare git repositories on this machine.

Each belongs to one repository of the local cloud, known by its id: one of the same name in a cloud
that was begun anew is another repository, and empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ci.errors import PipelineError
from ci.local.codepipeline import archives

_ID = "repository-id"
_SECONDS = 120


@dataclass(frozen=True)
class Git:
    """The git program, found on ``path``, with no configuration, hook or key of the user's."""

    path: str

    def __call__(
        self, words: list[str], directory: Path, more: Mapping[str, str] | None = None
    ) -> str | None:
        """What a command prints; None where it failed. ``more`` is added to its environment."""
        try:
            done = subprocess.run(
                ["git", *words], cwd=directory, env={**self.environment, **(more or {})},
                capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    @property
    def environment(self) -> dict[str, str]:
        """All that it inherits."""
        return {
            "PATH": self.path,
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
        }


@dataclass(frozen=True)
class Commit:
    """A commit. Dates are ISO 8601 with an offset."""

    id: str
    author_date: str
    committer_date: str
    message: str

    @property
    def title(self) -> str:
        """The first line of its message."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True)
class Repository:
    """A bare repository by its name, such as ``dev-AppCode`` or ``owner/name``."""

    name: str
    path: Path
    git: Git

    def commit(self, revision: str) -> Commit:
        """The commit of a branch (``refs/heads/main``) or an id. Raises PipelineError."""
        said = self.git(["log", "-1", "--format=%H%x00%aI%x00%cI%x00%B", revision, "--"], self.path)
        if said is None:
            branch = revision.removeprefix("refs/heads/")
            what = f"has no {'branch' if branch != revision else 'commit'} {branch}"
            raise PipelineError(f"repository {self.name}", what, "push it, or correct the name")
        identity, author, committer, message = said.split("\0", 3)
        return Commit(identity, author, committer, message.strip())

    def head(self, branch: str) -> str:
        """The commit that a branch is at; blank where there is no such branch."""
        said = self.git(["rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"], self.path)
        return (said or "").strip()

    def archive(self, commit: Commit, target: Path) -> None:
        """Writes the zip that a source action hands on."""
        command = ["git", "archive", "--format=tar", commit.id]
        with subprocess.Popen(
            command, cwd=self.path, stdout=subprocess.PIPE, env=self.git.environment
        ) as archiver:
            assert archiver.stdout  # noqa: S101 - a pipe by construction
            archives.from_tar(
                archiver.stdout, target, datetime.fromisoformat(commit.committer_date)
            )
        if archiver.returncode:
            what = f"cannot be archived at {commit.id}"
            raise PipelineError(f"repository {self.name}", what, "see that the disk has room")


@dataclass(frozen=True)
class Repositories:
    """All of them, below one directory."""

    root: Path
    git: Git

    def at(self, name: str, identity: str) -> Repository:
        """The repository of this name and id; made, or made anew, where it is not there.

        Raises PipelineError where that cannot be.
        """
        path = self.root / f"{name}.git"
        found = Repository(name, path, self.git)
        try:
            if (path / _ID).is_file() and (path / _ID).read_text() == identity:
                return found
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        except OSError as error:
            fix = "free space or fix the permissions there, or set PIPELINE_HOME elsewhere"
            what = f"cannot be made: {error.strerror}"
            raise PipelineError(f"repository {path}", what, fix) from error
        if self.git(["init", "--quiet", "--bare"], path) is None:
            raise PipelineError("git", f"cannot make a repository in {path}", "install git")
        (path / _ID).write_text(identity)
        return found
