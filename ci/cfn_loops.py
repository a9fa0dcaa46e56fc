"""``Fn::ForEach`` of AWS::LanguageExtensions, written out: one resource for each item of a list.

For whoever reads a template without CloudFormation's transforms. Source: AWS CloudFormation
Template Reference, "Fn::ForEach".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TRANSFORM = "AWS::LanguageExtensions"
_LOOP = "Fn::ForEach::"
_SECTIONS = ("Conditions", "Resources", "Outputs")


class LoopError(ValueError):
    """A loop that CloudFormation would refuse."""


def expanded(document: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The template without loops, and without the transform that they need.

    ``values`` are the parameters' values, for a collection that is ``Ref`` of a list; its default
    counts where there is none. Raises LoopError.
    """
    transforms = document.get("Transform", [])
    names = transforms if isinstance(transforms, list) else [transforms]
    given = {**_defaults(document), **values}
    result = dict(document)
    for section in _SECTIONS:
        if isinstance(document.get(section), dict):
            result[section] = _written_out(document[section], given)
            for key in result[section].keys() - document[section].keys():
                if not key.isalnum():
                    hint = "write &{Identifier} in its key"
                    raise LoopError(f"a loop makes {key}, which is no logical id: {hint}")
    if TRANSFORM not in names:
        if result != document:
            raise LoopError(f"Fn::ForEach needs Transform: {TRANSFORM}")
        return result
    del result["Transform"]
    if others := [name for name in names if name != TRANSFORM]:
        result["Transform"] = others
    return result


def _defaults(document: Mapping[str, Any]) -> dict[str, str]:
    declared = document.get("Parameters")
    return {
        name: str(about["Default"])
        for name, about in (declared if isinstance(declared, dict) else {}).items()
        if isinstance(about, dict) and "Default" in about
    }


def _written_out(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_written_out(each, values) for each in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        made = {key: _written_out(value, values)}
        if str(key).startswith(_LOOP):
            made = _loop(str(key), value, values)
        if twice := made.keys() & result.keys():
            raise LoopError(f"{key} makes {', '.join(sorted(twice))} a second time")
        result |= made
    return result


def _loop(name: str, loop: Any, values: Mapping[str, str]) -> dict[str, Any]:
    """What one loop makes, loops in it written out, too."""
    match loop:
        case [str(identifier), items, dict(fragment)]:
            pass
        case _:
            raise LoopError(f"{name} is not of the form [Identifier, Collection, {{Key: Value}}]")
    made: dict[str, Any] = {}
    for item in _items(name, items, values):
        for key, value in _written_out(_filled(fragment, identifier, item), values).items():
            if key in made:
                raise LoopError(f"{name} makes {key} twice: its key needs ${{{identifier}}}")
            made[key] = value
    return made


def _items(name: str, items: Any, values: Mapping[str, str]) -> list[str]:
    match items:
        case list() if all(isinstance(item, str) for item in items):
            return items
        case {"Ref": str(parameter)} if parameter in values:
            return [item.strip() for item in values[parameter].split(",")]
    raise LoopError(f"{name} loops over something else than a list of texts")


def _filled(node: Any, identifier: str, item: str) -> Any:
    """A fragment with the item in place of ``${Identifier}``, its letters and digits in place of
    ``&{Identifier}``."""
    if isinstance(node, dict):
        return {
            _filled(key, identifier, item): _filled(value, identifier, item)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_filled(each, identifier, item) for each in node]
    if not isinstance(node, str):
        return node
    plain = re.sub("[^0-9A-Za-z]", "", item)
    return node.replace(f"${{{identifier}}}", item).replace(f"&{{{identifier}}}", plain)
