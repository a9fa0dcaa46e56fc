"""Whether ``dockerfiles/``, the image repositories and the stacks speak of the same functions.

A function is a directory of ``dockerfiles/``, an entry in the list of repositories in
``codepipeline/codepipeline.yaml``, and a function of a template in ``cfn/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.cfn_loops import LoopError, expanded
from ci.errors import InputError
from ci.values import closest

INFRASTRUCTURE = Path("codepipeline", "codepipeline.yaml")
_LIST = "Fn::ForEach::Repositories"
_IMAGES: Mapping[str, tuple[str, ...]] = {
    "AWS::Lambda::Function": ("Code", "ImageUri"),
    "AWS::Serverless::Function": ("ImageUri",),
}
_NAMED = re.compile(r"(?:^|/)\$\{[^{}/]+\}-([a-z0-9][a-z0-9._-]*)(?:[:@].*)?$")
"""``…/${pPrefix}-NAME:tag``: the prefix is a variable, what follows is the directory's name."""


@dataclass(frozen=True)
class Declared:
    """What the templates declare. ``repositories`` and ``users`` are names without the prefix;
    ``users`` says where each image is run. None: there is no such template to compare with.
    ``listed``: the repositories come from one list."""

    repositories: Sequence[str] | None
    users: Mapping[str, Sequence[str]] | None
    listed: bool = False


def find(source: Path, functions: Sequence[str], layer: str) -> list[InputError]:
    """What is missing or left over in a source tree, each with what to do.

    ``functions`` are the directories of ``dockerfiles/``, ``layer`` the name of the common layer's
    repository. A template that cannot be read is passed over: packaging tells what is wrong.
    """
    return compare(declared(source), functions, layer)


def compare(there: Declared, functions: Sequence[str], layer: str) -> list[InputError]:
    """The same, of what is known already. Pure."""
    problems: list[InputError] = []
    where = str(INFRASTRUCTURE)
    if there.repositories is not None:
        for name in sorted({*functions, layer} - set(there.repositories)):
            what = f"has no image repository for {_thing(name, layer)}"
            problems.append(InputError(where, what, _to_add(name, there)))
        for name in sorted(set(there.repositories) - {*functions, layer}):
            what = f"has the image repository {name!r}, but there is no dockerfiles/{name}"
            fix = f"{_to_remove(name, there)}, or add dockerfiles/{name}/Dockerfile"
            problems.append(InputError(where, what, fix))
    if there.users is not None:
        for name in sorted(set(functions) - there.users.keys()):
            what = f"is run by no template in cfn/{_meant(name, there.users)}"
            fix = (
                "add to a template an AWS::Lambda::Function with PackageType: Image and "
                f"Code: {{ImageUri: !Sub '{_uri(name)}'}}"
            )
            problems.append(InputError(f"dockerfiles/{name}", what, fix))
        for name in sorted(there.users.keys() - set(functions)):
            what = f"runs the image {name!r}, but there is no dockerfiles/{name}"
            fix = f"add dockerfiles/{name}/Dockerfile, or remove the function"
            problems += [InputError(place, what, fix) for place in there.users[name]]
    return problems


def declared(source: Path) -> Declared:
    """What the templates of a source tree declare."""
    infrastructure = _read(source / INFRASTRUCTURE)
    repositories: list[str] | None = None
    if infrastructure is not None:
        repositories = [
            name
            for _, about in _resources(infrastructure, "AWS::ECR::Repository")
            for name in _names(about.get("RepositoryName"))
        ]
    listed = infrastructure is not None and _LIST in infrastructure.get("Resources", {})
    paths = sorted((source / "cfn").glob("[!._]*/template.yaml"))
    users: dict[str, list[str]] = {}
    for path in paths:
        document = _read(path) or {}
        for kind, place in _IMAGES.items():
            for resource, about in _resources(document, kind):
                for name in dict.fromkeys(_names(_at(about, place))):
                    where = f"{path.relative_to(source)}: {resource}"
                    users.setdefault(name, []).append(where)
    return Declared(repositories, users if paths else None, listed)


def _read(path: Path) -> dict[str, Any] | None:
    """A template with its loops written out as far as resources go, the loops still there."""
    try:
        document = cfn_yaml.load(path.read_text(encoding="utf-8"))
        resources = expanded(document, {}).get("Resources") or {}
    except (OSError, UnicodeDecodeError, cfn_yaml.CfnYamlError, LoopError):
        return None
    if not isinstance(resources, dict):
        return None
    loops = {key: None for key in document.get("Resources") or () if key not in resources}
    return {**document, "Resources": {**resources, **loops}}


def _resources(document: Mapping[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in (document.get("Resources") or {}).items():
        if isinstance(resource, dict) and resource.get("Type") == kind:
            properties = resource.get("Properties")
            yield name, properties if isinstance(properties, dict) else {}


def _at(node: Any, place: Sequence[str]) -> Any:
    for key in place:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _names(value: Any) -> Iterator[str]:
    """The functions that an expression names; several where a condition chooses."""
    for text in _texts(value):
        if match := _NAMED.search(text):
            yield match[1]


def _texts(value: Any) -> Iterator[str]:
    """What an expression may give, variables as ``${Name}``."""
    match value:
        case str():
            yield value
        case {"Ref": name}:
            yield f"${{{name}}}"
        case {"Fn::Sub": str(text)} | {"Fn::Sub": [str(text), _]}:
            yield text
        case {"Fn::If": [_, *branches]}:
            for branch in branches:
                yield from _texts(branch)
        case {"Fn::Join": [str(between), list(parts)]}:
            yield between.join(next(_texts(part), "${?}") for part in parts)


def _thing(name: str, layer: str) -> str:
    return "the common layer" if name == layer else f"dockerfiles/{name}"


def _to_add(name: str, there: Declared) -> str:
    if there.listed:
        return f"add the line '- {name}' to the list of {_LIST}"
    return f"add an AWS::ECR::Repository with RepositoryName: !Sub ${{pPrefix}}-{name}"


def _to_remove(name: str, there: Declared) -> str:
    if there.listed:
        return f"remove the line '- {name}' from the list of {_LIST}"
    return "remove that AWS::ECR::Repository"


def _meant(name: str, users: Mapping[str, Sequence[str]]) -> str:
    """A hint where a template seems to mean this function by another name."""
    near = closest(name, list(users), 0.88)
    return f" ({users[near][0]} runs {near!r})" if near else ""


def _uri(name: str) -> str:
    return (
        "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}"
        f"/${{pEnvironment}}-{name}:${{pEcrImageTag}}"
    )
