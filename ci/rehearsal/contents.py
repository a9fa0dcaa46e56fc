"""What a developer would have in each repository: the working tree as git would take it.

Uncommitted changes count, ignored files do not: it is a rehearsal of what is at hand.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ci.settings import Settings

LAYER = "common_layer"
OF_PIPELINE = ("ci", "codepipeline", "pyproject.toml", "requirements.lock", "README.md")
"""What a repository carries so that a build host can run the pipeline from it."""
OF_APPLICATION = ("cfn", "dockerfiles")
_NOISE = {".git", ".venv", "__pycache__", "out"}

Files = Mapping[str, Path]


def of_layer(settings: Settings, environ: Mapping[str, str]) -> Files:
    """The common layer's repository: name in it → file."""
    layer = {f"{LAYER}/{name}": path for name, path in _taken(settings.layer, (".",), environ)}
    return layer | dict(_taken(settings.source, OF_PIPELINE, environ))


def of_application(settings: Settings, environ: Mapping[str, str]) -> Files:
    """The application's repository: name in it → file."""
    return dict(_taken(settings.source, (*OF_APPLICATION, *OF_PIPELINE), environ))


def _taken(
    directory: Path, entries: tuple[str, ...], environ: Mapping[str, str]
) -> Iterator[tuple[str, Path]]:
    """The files below some entries of a directory; links count as files, repositories in it not."""
    names = _of_git(directory, entries, environ)
    if names is None:
        names = _of_disk(directory, entries)
    for name in names:
        path = directory / name
        if path.is_symlink() or path.is_file():
            yield name, path


def _of_git(
    directory: Path, entries: tuple[str, ...], environ: Mapping[str, str]
) -> list[str] | None:
    """What is tracked, or neither tracked nor ignored; None where there is no checkout."""
    there = [entry for entry in entries if (directory / entry).exists()]
    # Run from a git hook, git would look at the hook's repository.
    own = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *there]
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(directory), *listing],
            capture_output=True, text=True, timeout=60, check=False, env=own,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return sorted({name for name in done.stdout.split("\0") if name})


def _of_disk(directory: Path, entries: tuple[str, ...]) -> list[str]:
    """Everything but what no repository holds."""
    names: list[str] = []
    for entry in entries:
        top = directory / entry
        if top.is_file():
            names.append(entry)
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(set(folders) - _NOISE)
            names += [str((Path(folder) / file).relative_to(directory)) for file in files]
    return sorted(names)
