"""The lines of a Dockerfile as instructions, each character knowing its place in the file.

Follows BuildKit's parser (frontend/dockerfile/parser): parser directives, comments, continuation
lines, heredocs; and its word expansion (frontend/dockerfile/shell) for ``$NAME`` and ``${NAME…}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WITH_HEREDOC = {"RUN", "COPY", "ADD"}


class DockerfileError(ValueError):
    """What is wrong with a Dockerfile, and in which line (counted from 1)."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True)
class Word:
    """A word of an instruction; ``at`` holds the offset in the file of each character."""

    text: str
    at: tuple[int, ...]

    def span(self, start: int = 0, end: int | None = None) -> tuple[int, int]:
        """Offsets in the file of ``text[start:end]``."""
        places = self.at[start:end]
        return places[0], places[-1] + 1


@dataclass(frozen=True)
class Instruction:
    """One instruction, continuation lines joined, without the bodies of its heredocs."""

    name: str
    line: int
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Directives:
    """The parser directives at the top, and where the line of ``# syntax=`` stands."""

    escape: str = "\\"
    syntax: str = ""
    syntax_span: tuple[int, int] = (0, 0)
    end: int = 0


def directives(text: str) -> Directives:
    """Parser directives. Source: "Parser directives" of the Dockerfile reference."""
    found = Directives()
    offset = 1 if text.startswith("\ufeff") else 0
    values: dict[str, str] = {}
    span = (0, 0)
    for line in text[offset:].splitlines(keepends=True):
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match:
            break
        key = match[1].lower()
        if key == "syntax" and key not in values:
            span = (offset, offset + len(line))
        values.setdefault(key, match[2])
        offset += len(line)
        found = Directives(values.get("escape", "\\"), values.get("syntax", ""), span, offset)
    return found


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, in order."""
    escape = directives(text).escape
    continued = re.compile(rf"(?:^|[^{re.escape(escape)}])({re.escape(escape)})[ \t]*$")
    lines = list(_numbered(text))
    index = 0
    while index < len(lines):
        number, offset, line = lines[index]
        index += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        chars, places = "", ()
        while True:
            more = continued.search(line)
            kept = line[: more.start(1)] if more else line
            chars += kept
            places += tuple(range(offset, offset + len(kept)))  # type: ignore[assignment]
            while more and index < len(lines) and _skipped(lines[index][2]):
                index += 1
            if not more or index >= len(lines):
                break
            _, offset, line = lines[index]
            index += 1
        words = tuple(_words(chars, places, escape))
        yield Instruction(words[0].text.upper(), number, words[1:])
        for terminator, dedent in _heredocs(words):
            while index < len(lines):
                body = lines[index][2]
                index += 1
                if (body.lstrip("\t") if dedent else body) == terminator:
                    break


def expand(text: str, variables: Mapping[str, str], escape: str, line: int) -> str:
    """``text`` with its variables replaced and its quotes removed. Raises DockerfileError."""
    expanded, end = _expand(text, 0, variables, escape, line, until="")
    assert end == len(text)  # noqa: S101 - the scanner stops at the end only
    return expanded


def _numbered(text: str) -> Iterator[tuple[int, int, str]]:
    """Line number, offset and content of every line."""
    offset = 1 if text.startswith("\ufeff") else 0
    for number, line in enumerate(re.split(r"(?<=\n)", text[offset:]), start=1):
        yield number, offset, line.rstrip("\r\n")
        offset += len(line)


def _skipped(line: str) -> bool:
    """Comments and blank lines between continuation lines do not count."""
    return not line.strip() or line.lstrip().startswith("#")


def _words(chars: str, places: tuple[int, ...], escape: str) -> Iterator[Word]:
    """Words at white space; quotes and the escape character keep white space in a word."""
    quote, start, index = "", None, 0
    while index < len(chars):
        char = chars[index]
        if not quote and char.isspace():
            if start is not None:
                yield Word(chars[start:index], places[start:index])
            start = None
        else:
            start = index if start is None else start
            if char == escape and quote != "'":
                index += 1
            elif char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
        index += 1
    if start is not None:
        yield Word(chars[start:], places[start:])


def _heredocs(words: tuple[Word, ...]) -> Iterator[tuple[str, bool]]:
    """Terminator and tab-stripping of each heredoc that an instruction opens."""
    names = [word.text.upper() for word in words[:2]]
    if not _WITH_HEREDOC & set(names[: 2 if names[0] == "ONBUILD" else 1]):
        return
    for word in words[1:]:
        if match := _HEREDOC.fullmatch(word.text):
            yield re.sub(r"['\"\\]", "", match[2]), match[1] == "-"


def _expand(
    text: str, index: int, variables: Mapping[str, str], escape: str, line: int, until: str
) -> tuple[str, int]:
    """Expands up to the character ``until`` (blank: to the end); the rest starts at the index."""
    out, quote = "", ""
    while index < len(text):
        char = text[index]
        if char == until and not quote:
            return out, index
        if char == escape and quote != "'" and index + 1 < len(text):
            out += text[index + 1]
            index += 2
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
            index += 1
        elif char == "$" and quote != "'":
            value, index = _variable(text, index + 1, variables, escape, line)
            out += value
        else:
            out += char
            index += 1
    if until:
        raise DockerfileError(line, f"{text!r} lacks a closing brace")
    return out, index


def _variable(
    text: str, index: int, variables: Mapping[str, str], escape: str, line: int
) -> tuple[str, int]:
    """The value of the variable whose name starts at ``index``, after the ``$``."""
    braced = text[index : index + 1] == "{"
    match = _NAME.match(text, index + braced)
    if not match:
        if braced:
            raise DockerfileError(line, f"{text!r} has no variable name in its braces")
        return "$", index
    value, index = variables.get(match[0]), match.end()
    if not braced:
        return value or "", index
    form = re.compile(r"}|:?[-+?]").match(text, index)
    if not form:
        raise DockerfileError(line, f"{text!r} goes beyond ${{NAME}}, ${{NAME:-x}}, ${{NAME:+x}}")
    if form[0] == "}":
        return value or "", form.end()
    other, end = _expand(text, form.end(), variables, escape, line, until="}")
    present = bool(value) if form[0][0] == ":" else value is not None
    if form[0][-1] == "+":
        return other if present else "", end + 1
    if form[0][-1] == "?" and not present:
        raise DockerfileError(line, f"{match[0]} is not set: {other}")
    return (value or "") if present else other, end + 1
