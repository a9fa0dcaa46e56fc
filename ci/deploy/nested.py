"""A packaged template with the templates nested in it, which lie in the bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.cfn_loops import LoopError, expanded
from ci.errors import PipelineError
from ci.package import parameters
from ci.package.expressions import Scope
from ci.package.pinning import child_values
from ci.package.places import Place, at, resources
from ci.package.references import NESTED
from ci.package.templates import Template


def tree(document: dict[str, Any], path: Path, fetch: Callable[[str], str]) -> Template:
    """A template and what is nested in it. ``fetch`` gives the text behind a template's URL.

    Raises PipelineError for text that is no template, and what ``fetch`` raises.
    """
    nested = []
    for place, url in _urls(document):
        try:
            child = cfn_yaml.load(fetch(url))
        except cfn_yaml.CfnYamlError as error:
            fix = "package it again (python ci/main.py app)"
            raise PipelineError(f"{url}:{error.line}", f"is no template: {error}", fix) from error
        nested.append((place, tree(child, Path(url.rpartition("/")[2]), fetch)))
    return Template(path, document, (), tuple(nested))


@dataclass(frozen=True)
class Part:
    """A template of a tree, its loops written out, and what its expressions mean. ``within`` are
    the logical ids of the nested stacks that it lies in."""

    document: dict[str, Any]
    scope: Scope
    within: tuple[str, ...] = ()


def parts(
    template: Template, values: Mapping[str, str], within: tuple[str, ...] = ()
) -> Iterator[Part]:
    """Every template of a tree, the outermost first.

    ``values`` are the parameters of the outermost and the pseudo parameters. Loops that
    CloudFormation would refuse stay as they are: it tells what is wrong with them.
    """
    try:
        document = expanded(template.document, values)
    except LoopError:
        document = template.document
    yield Part(document, Scope(values, document), within)
    for place, child in template.nested:
        given = child_values(template, place, child, Scope(values, template.document))
        yield from parts(child, given, (*within, _logical_id(place)))


def known(
    template: Template, given: Mapping[str, str], pseudo: Mapping[str, str]
) -> dict[str, str]:
    """What names mean in a template: its parameters as given or by default, and the pseudo
    parameters."""
    return {**parameters.known(template.declared, given), **pseudo}


def _logical_id(place: Place) -> str:
    """Of the resource that a place lies in; in a loop, with the loop's variable in it."""
    return str(place[place.index("Properties") - 1])


def _urls(document: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    for place, resource in resources(document):
        if name := NESTED.get(str(resource.get("Type"))):
            url = at(resource, ("Properties", name))
            if isinstance(url, str) and url.startswith(("https://", "http://", "s3://")):
                yield (*place, "Properties", name), url
