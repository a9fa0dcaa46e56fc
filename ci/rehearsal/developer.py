"""Who pushes: a clone of a repository, the files of the working tree in it, a commit, a push."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.errors import PipelineError
from ci.local.codepipeline.repositories import Repository

_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Developer"), ("EMAIL", "developer@example.com"))
}
_NAMED = 3


@dataclass(frozen=True)
class Push:
    """A push that was made. ``before`` is the branch's commit until then, blank for a new one;
    ``changed`` are the files that it changes."""

    commit: str
    before: str
    changed: tuple[str, ...]


def push(repository: Repository, branch: str, files: Mapping[str, Path]) -> Push | None:
    """Commits and pushes what differs from the repository; None where nothing does.

    Raises PipelineError where git refuses.
    """
    with tempfile.TemporaryDirectory(prefix="clone-") as directory:
        clone = Path(directory)
        before = repository.head(branch)
        _git(repository, ["clone", "--quiet", "--no-checkout", str(repository.path), "."], clone)
        if before:
            _git(repository, ["symbolic-ref", "HEAD", f"refs/heads/{branch}"], clone)
            _git(repository, ["reset", "--quiet", "--mixed", before], clone)
        else:
            _git(repository, ["checkout", "--quiet", "-b", branch], clone)
        _copied(files, clone)
        _git(repository, ["add", "--all", "--force", "."], clone)
        said = _git(repository, ["diff", "--cached", "--name-only", "-z", before or _EMPTY], clone)
        changed = tuple(name for name in said.split("\0") if name)
        if not changed:
            return None
        message = _message(changed) if before else "Initial commit"
        _git(repository, ["commit", "--quiet", "--message", message], clone)
        _git(repository, ["push", "--quiet", "origin", branch], clone)
        return Push(repository.head(branch), before, changed)


_EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The empty tree, which git knows by itself."""


def _copied(files: Mapping[str, Path], clone: Path) -> None:
    for name, path in files.items():
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        else:
            shutil.copy2(path, target)


def _message(changed: tuple[str, ...]) -> str:
    named = ", ".join(changed[:_NAMED])
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return f"Change {named}{more}"


def _git(repository: Repository, words: list[str], directory: Path) -> str:
    said = repository.git(words, directory, _WHO)
    if said is None:
        what = f"git {words[0]} failed in a clone of it"
        fix = "see that git works and the disk has room, then run again"
        raise PipelineError(f"repository {repository.name}", what, fix)
    return said
