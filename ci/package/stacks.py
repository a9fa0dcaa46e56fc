"""Finds the stacks of a source tree: every directory of ``cfn/``, read and judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci import cfn_yaml
from ci.errors import InputError, InputErrors
from ci.package import parameters, templates
from ci.package.parameters import ParameterFile
from ci.package.places import at, tell
from ci.package.templates import Template
from ci.values import did_you_mean

ROOM = "cfn"
NAMES = "stacks.yaml"
TEMPLATE = "template.yaml"
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
"""Source: CloudFormation API, CreateStack, ``StackName``."""


@dataclass(frozen=True)
class Stack:
    """A stack in the source tree. ``name`` is CloudFormation's, ``directory`` that of its files."""

    name: str
    directory: Path
    template: Template
    parameters: ParameterFile


def read(source: Path, prefix: str) -> tuple[Stack, ...]:
    """The stacks of ``source``, by directory; none where it has no ``cfn/``. ``prefix`` is the
    environment that they are for.

    Raises InputErrors with everything that is wrong.
    """
    problems: list[InputError] = []
    found = [
        _stack(directory, name, prefix, problems)
        for directory, name in named(source / ROOM, problems).items()
    ]
    if problems:
        raise InputErrors(problems)
    return tuple(stack for stack in found if stack)


def named(room: Path, problems: list[InputError]) -> dict[Path, str]:
    """The directories of ``cfn/`` that are stacks, each with its stack's name; problems noted.

    Directories whose name starts with ``.`` or ``_`` are no stacks. A stack is called as its
    directory, unless ``stacks.yaml`` (directory: stack name) says otherwise.
    """
    if not room.is_dir():
        return {}
    directories = sorted(
        entry.name for entry in room.iterdir() if entry.is_dir() and entry.name[0] not in "._"
    )
    names = _names(room, directories, problems)
    return {room / each: names.get(each, each) for each in directories}


def _names(room: Path, directories: list[str], problems: list[InputError]) -> dict[str, str]:
    """Stack names by directory, as far as ``stacks.yaml`` gives them."""
    path = room / NAMES
    names: dict[str, str] = {}
    if path.is_file():
        try:
            names = {key: str(name) for key, name in cfn_yaml.load(path.read_text()).items()}
        except (cfn_yaml.CfnYamlError, UnicodeDecodeError) as error:
            line = getattr(error, "line", 1)
            fix = "write lines of the form 'directory: stack-name'"
            problems.append(InputError(f"{path}:{line}", f"is no list of names: {error}", fix))
    for directory in names.keys() - set(directories):
        fix = did_you_mean(directory, directories, f"there are {', '.join(directories)}")
        what = f"names {directory!r}, which is no directory of {room}"
        problems.append(InputError(str(path), what, fix))
    owners: dict[str, str] = {}
    for directory in directories:
        name = names.get(directory, directory)
        if not _STACK_NAME.fullmatch(name):
            what = f"makes the stack name {name!r}; CloudFormation takes letters, digits and -"
            fix = f"give it another name in {path}: '{directory}: a-name'"
            problems.append(InputError(str(room / directory), what, fix))
        elif name in owners:
            what = f"{room / owners[name]} and {room / directory} are both called {name!r}"
            problems.append(InputError(str(path), what, "give each stack a name of its own"))
        owners[name] = directory
    return names


def _stack(directory: Path, name: str, prefix: str, problems: list[InputError]) -> Stack | None:
    path = directory / TEMPLATE
    template = None
    if path.is_file():
        template = templates.read(path, problems)
    else:
        fix = f"add it, or rename the directory to _{directory.name} if it is no stack"
        problems.append(InputError(str(path), "is not there", fix))
    values = parameters.read(directory / parameters.FILE, problems)
    if not template or not values:
        return None
    declared = template.declared
    values = parameters.for_environment(values, declared, prefix, str(path), problems)
    _judge_nested(template, problems)
    return Stack(name, directory, template, values)


def _judge_nested(template: Template, problems: list[InputError]) -> None:
    """What a stack gives the stacks nested in it."""
    for place, nested in template.nested:
        given = at(template.document, (*place[:-1], "Parameters"))
        values: Mapping[str, object] = given if isinstance(given, dict) else {}
        where = f"{template.path}: {tell((*place[:-1], 'Parameters'))}"
        declared = nested.declared
        missing = parameters.IMAGE_TAG in declared and parameters.IMAGE_TAG not in values
        if missing and "Default" not in declared[parameters.IMAGE_TAG]:
            what = f"lacks {parameters.IMAGE_TAG}, which {nested.path} requires"
            problems.append(InputError(where, what, f"pass it on: !Ref {parameters.IMAGE_TAG}"))
        parameters.judge(values, declared, where, problems)
        _judge_nested(nested, problems)
