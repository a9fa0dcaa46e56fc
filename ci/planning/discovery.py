"""Finds the functions of a source tree: every directory of ``dockerfiles/`` with a Dockerfile."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.errors import InputError
from ci.values import did_you_mean

DOCKERFILES = ("Dockerfile", "DockerFile")
_FIX_LAYOUT = "make dockerfiles/<function>/Dockerfile, or name the tree with --source"


@dataclass(frozen=True)
class Found:
    """A directory with the recipe of one image."""

    name: str
    directory: Path
    dockerfile: str


def functions(source: Path, only: Sequence[str], problems: list[InputError]) -> tuple[Found, ...]:
    """The functions of ``source``, by name; appends what is wrong to ``problems``.

    Directories whose name starts with ``.`` or ``_`` (``.aws-sam``, ``__pycache__``) and files are
    no functions. With ``only`` (names or wildcards) the others are not even looked at.
    """
    root = source / "dockerfiles"
    if not root.is_dir():
        what = "has no directory dockerfiles" if source.is_dir() else "is no directory"
        problems.append(InputError(str(source), what, _FIX_LAYOUT))
        return ()
    names = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "._"
    )
    if not names:
        problems.append(InputError(str(root), "has no function in it", _FIX_LAYOUT))
        return ()
    found = (recipe(name, root / name, problems) for name in _chosen(names, only, problems))
    return tuple(each for each in found if each)


def recipe(name: str, directory: Path, problems: list[InputError]) -> Found | None:
    """The one Dockerfile of a directory; ``DockerFile``, as older trees spell it, counts too."""
    if not directory.is_dir():
        problems.append(InputError(str(directory), "is no directory", "name it with --layer"))
        return None
    # Not Path.exists(): on a case-insensitive file system it would find one file twice.
    present = {entry.name for entry in directory.iterdir() if not entry.is_dir()}
    here = [spelling for spelling in DOCKERFILES if spelling in present]
    if len(here) == 1:
        return Found(name, directory, here[0])
    if here:
        what, fix = f"has both {' and '.join(here)}", "delete one of them"
    else:
        what = "has no Dockerfile"
        fix = "add one, or move the directory out of dockerfiles/ if it is no function"
    problems.append(InputError(str(directory), what, fix))
    return None


def _chosen(
    names: Sequence[str], only: Sequence[str], problems: list[InputError]
) -> tuple[str, ...]:
    """The names that ``only`` asks for, in order; all of them when it asks for nothing."""
    if not only:
        return tuple(names)
    chosen: set[str] = set()
    for pattern in only:
        matching = fnmatch.filter(names, pattern)
        chosen.update(matching)
        if not matching:
            fix = did_you_mean(pattern, names, f"there are {', '.join(names)}")
            problems.append(InputError(f"--only {pattern}", "is no function", fix))
    return tuple(name for name in names if name in chosen)
