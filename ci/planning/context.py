"""What a build context holds: ``.dockerignore``, and the size of what is left.

Source of the rules: "Dockerfile reference", section ".dockerignore file", and
github.com/moby/patternmatcher, which Docker, BuildKit and Dagger share.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pattern:
    """One line of ``.dockerignore``, ``text`` as Dagger's ``exclude`` takes it."""

    text: str
    matches: re.Pattern[str]

    @property
    def keeps(self) -> bool:
        """An exception (``!name``) brings back what an earlier line left out."""
        return self.text.startswith("!")


def ignored(directory: Path, dockerfile: str) -> tuple[Pattern, ...]:
    """The patterns of ``<dockerfile>.dockerignore``, else of ``.dockerignore``."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = directory / name
        if path.is_file():
            return tuple(_patterns(path.read_text(encoding="utf-8-sig", errors="replace")))
    return ()


def sizes(directory: Path, patterns: tuple[Pattern, ...]) -> dict[str, int]:
    """Bytes of the context under each entry at its top. Links count as nothing."""
    totals: dict[str, int] = {}
    for path, size in _files(directory, "", patterns):
        top = path.partition("/")[0]
        totals[top] = totals.get(top, 0) + size
    return totals


def _patterns(text: str) -> Iterator[Pattern]:
    for raw in text.splitlines():
        line = raw.strip()
        if raw.startswith("#") or not line:
            continue
        sign = "!" if line.startswith("!") else ""
        path = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
        if path and path != ".":
            yield Pattern(sign + path, re.compile(_expression(path)))


def _expression(pattern: str) -> str:
    """A regular expression for a pattern, and for everything below what it matches."""
    out, index = "", 0
    while index < len(pattern):
        char = pattern[index]
        if pattern.startswith("**", index):
            index += 2
            if pattern.startswith("/", index):
                index += 1
                out += "(?:.*/)?"
            else:
                out += ".*"
            continue
        if char == "[" and (end := pattern.find("]", index + 1)) > 0:
            out += pattern[index : end + 1]
            index = end
        elif char == "\\" and index + 1 < len(pattern):
            index += 1
            out += re.escape(pattern[index])
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        index += 1
    return f"{out}(?:/.*)?"


def _left_out(path: str, patterns: tuple[Pattern, ...]) -> bool:
    """The last pattern that matches decides."""
    for pattern in reversed(patterns):
        if pattern.matches.fullmatch(path):
            return not pattern.keeps
    return False


def _files(
    directory: Path, prefix: str, patterns: tuple[Pattern, ...]
) -> Iterator[tuple[str, int]]:
    exceptions = any(pattern.keeps for pattern in patterns)
    with os.scandir(directory) as entries:
        for entry in entries:
            path = prefix + entry.name
            out = _left_out(path, patterns)
            if entry.is_dir(follow_symlinks=False):
                if not out or exceptions:
                    yield from _files(directory / entry.name, f"{path}/", patterns)
            elif not out and entry.is_file(follow_symlinks=False):
                yield path, entry.stat(follow_symlinks=False).st_size
