"""``parameters.json``: CodePipeline's template configuration file of a stack.

Source: AWS CodePipeline User Guide, "CloudFormation artifacts", section "Template configuration
file": ``Parameters``, ``Tags`` and ``StackPolicy``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ci.cfn_parameters import as_text, broken
from ci.cfn_yaml import unique
from ci.errors import InputError
from ci.values import did_you_mean

FILE = "parameters.json"
IMAGE_TAG = "pEcrImageTag"
ENVIRONMENT = "pEnvironment"
"""What the pipeline gives each stack itself (``ParameterOverrides`` of its change sets)."""
_KEYS = ("Parameters", "Tags", "StackPolicy")
_EXAMPLE = '{"Parameters": {"pName": "value"}}'


@dataclass(frozen=True)
class ParameterFile:
    """The file's text, and the values of its ``Parameters``."""

    path: Path
    text: str
    values: Mapping[str, str]

    def tagged(self, declared: Mapping[str, Any], tag: str) -> ParameterFile:
        """With the image tag of a run, where (and only where) the template declares it."""
        if IMAGE_TAG not in declared:
            return self
        values = {**self.values, IMAGE_TAG: tag}
        return ParameterFile(self.path, with_value(self.text, IMAGE_TAG, tag), values)


def read(path: Path, problems: list[InputError]) -> ParameterFile | None:
    """The parameter file; None, with problems noted, if it is none."""
    where = str(path)
    try:
        text, document = _document(path)
    except InputError as problem:
        problems.append(problem)
        return None
    if not isinstance(document, dict) or not isinstance(document.get("Parameters"), dict):
        problems.append(InputError(where, "has no Parameters", f"write {_EXAMPLE}"))
        return None
    for key in document.keys() - set(_KEYS):
        fix = did_you_mean(key, _KEYS, f"it knows {', '.join(_KEYS)}")
        problems.append(InputError(where, f"has {key!r}, which CodePipeline does not know", fix))
    values = document["Parameters"]
    for name, value in values.items():
        if not isinstance(value, str):
            what = f"has {name} = {json.dumps(value)}; CodePipeline takes text only"
            fix = f'write {json.dumps(as_text(value))}, a list as "a,b"'
            problems.append(InputError(where, what, fix))
    return ParameterFile(path, text, {name: as_text(value) for name, value in values.items()})


def _document(path: Path) -> tuple[str, Any]:
    """The text and what it says. Raises InputError."""
    where = str(path)
    try:
        # Bytes: line ends stay as they are.
        text = path.read_bytes().decode()
        return text, json.loads(text, object_pairs_hook=unique)
    except FileNotFoundError as error:
        fix = f"add it; the least it holds is {_EXAMPLE}"
        raise InputError(where, "is not there", fix) from error
    except OSError as error:
        raise InputError(where, f"cannot be read: {error.strerror}", "make it readable") from error
    except json.JSONDecodeError as error:
        what = f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        fix = "mend it; JSON knows neither comments nor a comma before }"
        raise InputError(where, what, fix) from error
    except ValueError as error:
        fix = "mend it; it is UTF-8, and each key comes once"
        raise InputError(where, f"is not JSON: {error}", fix) from error


def judge(
    values: Mapping[str, object],
    declared: Mapping[str, Mapping[str, Any]],
    where: str,
    problems: list[InputError],
) -> None:
    """Notes what CloudFormation would refuse: values that a template does not declare, declared
    ones without any value, and values that the template does not allow.

    The image tag is given by the run. What is no text is known to nobody yet, and is let pass.
    """
    for name in values.keys() - declared.keys():
        fix = did_you_mean(name, declared, "declare it in the template, or leave it out")
        problems.append(InputError(where, f"has {name}, which the template does not declare", fix))
    for name, about in declared.items():
        if name not in values:
            if "Default" not in about and name != IMAGE_TAG:
                what = f"lacks {name}, which the template requires"
                problems.append(InputError(where, what, "give it a value, or a Default there"))
        elif isinstance(value := values[name], str) and (why := _refused(value, about)):
            problems.append(InputError(where, f"has {name} = {value!r}, which {why}", _fix(about)))


def for_environment(
    file: ParameterFile,
    declared: Mapping[str, Mapping[str, Any]],
    prefix: str,
    template: str,
    problems: list[InputError],
) -> ParameterFile:
    """What a deployment to an environment gives a stack: the file's values, but the environment's
    name where the template declares it. The text stays as it is. What CloudFormation would refuse
    is noted, see ``judge``."""
    if not (about := declared.get(ENVIRONMENT)):
        judge(file.values, declared, str(file.path), problems)
        return file
    if why := _refused(prefix, about):
        what = f"gets the prefix {prefix!r}, which {why}"
        fix = f"give another prefix (--prefix, RESOURCE_PREFIX): {_fix(about)}"
        problems.append(InputError(f"{template}: {ENVIRONMENT}", what, fix))
    values = {**file.values, ENVIRONMENT: prefix}
    judge(values, {**declared, ENVIRONMENT: {}}, str(file.path), problems)
    return replace(file, values=values)


def shown(declared: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> dict[str, str]:
    """The values for everybody's eyes: those that the template declares NoEcho starred out."""
    hidden = {
        name for name, about in declared.items() if as_text(about.get("NoEcho", "")) == "true"
    }
    return {name: "****" if name in hidden else value for name, value in values.items()}


def known(declared: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> dict[str, str]:
    """What ``Ref`` of each parameter gives, as far as it is known before the deployment.

    A parameter that names an SSM parameter is not: CloudFormation looks up its value.
    """
    defaults = {
        name: as_text(about["Default"]) for name, about in declared.items() if "Default" in about
    }
    return {
        name: value
        for name, value in {**defaults, **values}.items()
        if name in declared and not str(declared[name].get("Type")).startswith("AWS::SSM::")
    }


def with_value(text: str, name: str, value: str) -> str:
    """JSON ``text`` with ``Parameters.<name>`` set, all else as it was, spaces included."""
    top = _members(text, text.index("{"))
    start = top["Parameters"].value
    inner = _members(text, start)
    quoted = json.dumps(value, ensure_ascii=False)
    if name in inner:
        return text[: inner[name].value] + quoted + text[inner[name].end :]
    key = json.dumps(name)
    if inner:
        first, last = next(iter(inner.values())), list(inner.values())[-1]
        lead = text[start + 1 : first.key]
        between = text[first.key_end : first.value]
        return f"{text[: last.end]},{lead}{key}{between}{quoted}{text[last.end :]}"
    # An empty object: as far in as its own line, and once more.
    first = next(iter(top.values()))
    lead = text[text.index("{") + 1 : first.key]
    indent = lead.rpartition("\n")[2]
    inside = f"{lead}{indent}{key}: {quoted}{lead}" if "\n" in lead else f"{key}: {quoted}"
    return text[: start + 1] + inside + text[top["Parameters"].end - 1 :]


class _Member(NamedTuple):
    """Where a member of a JSON object stands in the text."""

    key: int
    key_end: int
    value: int
    end: int


def _members(text: str, at: int) -> dict[str, _Member]:
    """The members of the JSON object that begins at ``at``, in valid JSON."""
    decoder = json.JSONDecoder()
    found: dict[str, _Member] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, key_end = decoder.raw_decode(text, at)
        value = _skip(text, _skip(text, key_end) + 1)
        _, end = decoder.raw_decode(text, value)
        found[name] = _Member(at, key_end, value, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _refused(value: str, about: Mapping[str, Any]) -> str:
    """Why a template does not allow a value; blank when it does."""
    match constraint := broken(value, about):
        case "":
            return ""
        case "AllowedValues":
            return "is none of its AllowedValues"
        case "Type":
            return "is no number"
    return f"does not match its {constraint} {about[constraint]}"


def _fix(about: Mapping[str, Any]) -> str:
    if constraint := about.get("ConstraintDescription"):
        return str(constraint)
    allowed = ", ".join(map(as_text, about.get("AllowedValues") or ()))
    return f"use one of {allowed}" if allowed else "correct it, or the template"
