"""Which images a Dockerfile builds on, and the same Dockerfile with those nailed to digests.

The Dockerfile in the checkout is never touched: the pinned text goes into the build context only.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ci.planning.dockerfile_text import (
    DockerfileError,
    Instruction,
    Word,
    directives,
    expand,
    instructions,
)
from ci.registry.reference import InvalidReference, Reference, parse

__all__ = ["DockerfileError", "Pull", "pinned", "pulls"]

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
_PLATFORM = {
    f"{where}{what}": value
    for where in ("TARGET", "BUILD")
    for what, value in (
        ("PLATFORM", f"linux/{_ARCHITECTURE}"), ("OS", "linux"), ("ARCH", _ARCHITECTURE),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Pull:
    """A place of a Dockerfile that names an image of a registry."""

    reference: Reference
    line: int
    span: tuple[int, int]


@dataclass
class _Stage:
    name: str
    pulls: list[Pull] = field(default_factory=list)
    needs: set[int] = field(default_factory=set)


def pulls(text: str, build_args: Mapping[str, str]) -> tuple[Pull, ...]:
    """The images that the last stage needs, in the order of the file: ``FROM``,
    ``COPY --from=`` and ``RUN --mount=from=``. Stages that it does not need are not built.

    Raises DockerfileError for a ``FROM`` that names no image, an unset argument for example.
    What else may be wrong with the file, the engine says better.
    """
    escape = directives(text).escape
    variables = dict(_PLATFORM)
    stages: list[_Stage] = []
    for step in instructions(text):
        if step.name == "ARG" and not stages:
            _declare(step, variables, build_args, escape)
        elif step.name == "FROM":
            _open_stage(step, stages, variables, escape)
        elif stages and step.name in ("COPY", "ADD", "RUN"):
            for word, start in _borrowed(step):
                _need(stages[-1], word, start, stages, step.line)
    return tuple(pull for stage in _reachable(stages) for pull in stage.pulls)


def pinned(text: str, digests: Mapping[Reference, str], found: tuple[Pull, ...]) -> str:
    """``text`` with each image of ``found`` replaced by ``repo:tag@digest``.

    A ``# syntax=docker/dockerfile…`` line goes too: it pulls from Docker Hub what both engines
    have built in. The number of lines stays as it is.
    """
    for pull in sorted(found, key=lambda each: each.span, reverse=True):
        digest = digests.get(pull.reference)
        if digest and not pull.reference.digest:
            start, end = pull.span
            text = text[:start] + str(pull.reference.at(digest)) + text[end:]
    top = directives(text)
    if re.fullmatch(r"(docker\.io/)?docker/dockerfile(:1[\w.-]*)?", top.syntax):
        start, end = top.syntax_span
        text = text[:start] + text[end : top.end] + "#\n" + text[top.end :]
    return text


def _declare(
    step: Instruction, variables: dict[str, str], build_args: Mapping[str, str], escape: str
) -> None:
    """``ARG NAME[=default]…`` before the first FROM."""
    for word in step.words:
        name, equals, default = word.text.partition("=")
        if name in build_args:
            variables[name] = build_args[name]
        elif equals:
            variables[name] = expand(default, variables, escape, step.line)


def _open_stage(
    step: Instruction, stages: list[_Stage], variables: Mapping[str, str], escape: str
) -> None:
    """``FROM [--platform=…] image [AS name]``."""
    words = [word for word in step.words if not word.text.startswith("--")]
    if not words:
        raise DockerfileError(step.line, "FROM names no image")
    named = len(words) == 3 and words[1].text.upper() == "AS"
    stage = _Stage(words[2].text.lower() if named else "")
    name = expand(words[0].text, variables, escape, step.line)
    if not name or name[0] in ":@":
        unset = ", ".join(re.findall(r"\$\{?(\w+)", words[0].text))
        raise DockerfileError(step.line, f"FROM {words[0].text} is blank: {unset} has no value")
    earlier = [index for index, each in enumerate(stages) if each.name == name.lower()]
    if earlier:
        stage.needs.add(earlier[-1])
    elif name != "scratch":
        stage.pulls.append(Pull(_reference(name, step.line), step.line, words[0].span()))
    stages.append(stage)


def _borrowed(step: Instruction) -> list[tuple[Word, int]]:
    """Words that name a stage or image to copy or mount from, and where in the word it stands."""
    found = []
    for word in step.words:
        if not word.text.startswith("--"):
            break
        if step.name != "RUN" and word.text.startswith("--from="):
            found.append((word, len("--from=")))
        elif step.name == "RUN" and (match := re.match(r"--mount=(?:.*,)?from=", word.text)):
            found.append((word, match.end()))
    return found


def _need(stage: _Stage, word: Word, start: int, stages: list[_Stage], line: int) -> None:
    """Notes the stage or image that ``word.text[start:]``, up to a comma, stands for.

    Variables are not expanded here, as BuildKit does not.
    """
    name = word.text[start:].partition(",")[0]
    by_name = [index for index, each in enumerate(stages[:-1]) if each.name == name.lower()]
    if name.isdigit():
        stage.needs.add(int(name))
    elif by_name and name:
        stage.needs.add(by_name[-1])
    elif name and "$" not in name and name.lower() != "scratch":
        span = word.span(start, start + len(name))
        stage.pulls.append(Pull(_reference(name, line), line, span))


def _reachable(stages: list[_Stage]) -> list[_Stage]:
    """The stages that the last one needs, itself included, in file order."""
    needed: set[int] = set()
    ahead = [len(stages) - 1] if stages else []
    while ahead:
        index = ahead.pop()
        if index not in needed and index < len(stages):
            needed.add(index)
            ahead += stages[index].needs
    return [stages[index] for index in sorted(needed)]


def _reference(name: str, line: int) -> Reference:
    try:
        return parse(name)
    except InvalidReference as error:
        raise DockerfileError(line, f"{name!r} names no image: {error}") from error
