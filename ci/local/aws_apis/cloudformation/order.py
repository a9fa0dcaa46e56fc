"""Which resources a template asks for, and which of them have to be there before others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.template import references


@dataclass(frozen=True)
class Wish:
    """A resource that a template asks for, unresolved. ``needs``: what has to be there before."""

    logical_id: str
    type: str
    definition: Mapping[str, Any]
    needs: frozenset[str]


def wishes(document: Mapping[str, Any], conditions: Mapping[str, bool]) -> list[Wish]:
    """The resources whose conditions hold, each after what it needs; else in their order.

    Raises Refused for a circle.
    """
    asked = {
        name: _pruned(resource, conditions)
        for name, resource in document["Resources"].items()
        if "Condition" not in resource or conditions[str(resource["Condition"])]
    }
    needs = {
        name: frozenset(references(resource)) & asked.keys() for name, resource in asked.items()
    }
    return [
        Wish(name, str(asked[name]["Type"]), asked[name], needs[name]) for name in _sorted(needs)
    ]


def _sorted(needs: Mapping[str, frozenset[str]]) -> list[str]:
    found: dict[str, None] = {}
    waiting = dict(needs)
    while waiting:
        ready = [name for name, needed in waiting.items() if needed <= found.keys()]
        if not ready:
            listed = ", ".join(_circle(waiting))
            raise Refused(f"Circular dependency between resources: [{listed}]")
        for name in ready:
            found[name] = None
            del waiting[name]
    return list(found)


def _circle(waiting: Mapping[str, frozenset[str]]) -> list[str]:
    """Without what only depends on a circle and is not in one."""
    left = dict(waiting)
    while True:
        needed = frozenset[str]().union(*left.values())
        outside = [name for name in left if name not in needed]
        if not outside:
            return sorted(left)
        for name in outside:
            del left[name]


def _pruned(node: Any, conditions: Mapping[str, bool]) -> Any:
    """Without the branches of ``Fn::If`` that are not taken: they need nothing."""
    if isinstance(node, list):
        return [_pruned(each, conditions) for each in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"Fn::If": [name, yes, no]} if len(node) == 1 and str(name) in conditions:
            return _pruned(yes if conditions[str(name)] else no, conditions)
    return {key: _pruned(value, conditions) for key, value in node.items()}
