"""The files of a build's artifact: what the globs of a buildspec match.

Source: CodeBuild User Guide, "Build specification reference", ``artifacts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ci.local.codepipeline.buildspec import Output


class NoOutput(Exception):
    """There is nothing to hand on; the message says why."""


def files(output: Output, source: Path) -> list[tuple[str, Path]]:
    """Names in the artifact with their files, sorted. Raises NoOutput."""
    base = (source / output.base).resolve()
    if not base.is_relative_to(source.resolve()):
        raise NoOutput(f"base-directory {output.base} is outside of the source")
    if not base.is_dir():
        raise NoOutput(f"base-directory {output.base} is not there")
    there = {str(path.relative_to(base)): path for path in _walk(base)}
    found: dict[str, Path] = {}
    for pattern in output.files:
        wanted = _compiled(pattern)
        for name, path in there.items():
            if wanted.fullmatch(name) and not _excluded(name, output):
                place = path.name if output.flat else name
                if found.setdefault(place, path) != path:
                    raise NoOutput(f"discard-paths makes two files of the name {place}")
    if not found:
        raise NoOutput(f"no matching artifact paths found: {', '.join(output.files)}")
    return sorted(found.items())


def _walk(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


def _excluded(name: str, output: Output) -> bool:
    return any(_compiled(pattern).fullmatch(name) for pattern in output.exclude)


def _compiled(pattern: str) -> re.Pattern[str]:
    """``**/`` is any folders or none, ``*`` anything within a name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))
