"""What a resource is to be, and how that differs from what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.evaluate import Scope
from ci.local.aws_apis.cloudformation.order import Wish
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.resources.kind import Kind
from ci.local.aws_apis.cloudformation.stacks import Resource
from ci.local.aws_apis.cloudformation.values import Unknown, normal, unknowns
from ci.package.places import at


@dataclass(frozen=True)
class Wanted:
    """A resource as its template asks for it, resolved as far as is known.

    ``properties`` are without tags; ``tags`` are its own and the stack's.
    """

    wish: Wish
    kind: Kind
    properties: Mapping[str, Any]
    tags: Mapping[str, Any]
    deletion: str
    replacement: str
    metadata: Any


@dataclass(frozen=True)
class Difference:
    """``changed``: property → the resources that keep its value from being known yet.

    ``replacing`` are those that make a new resource for sure, ``perhaps`` those that may.
    ``attributes`` are what else differs: Tags, Metadata, DeletionPolicy, UpdateReplacePolicy.
    """

    changed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    replacing: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()
    attributes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.attributes)

    @property
    def touches(self) -> bool:
        """Whether the service has to be called: policies and metadata are the stack's own."""
        return bool(self.changed) or "Tags" in self.attributes


def wanted(wish: Wish, scope: Scope, stack_tags: Mapping[str, str]) -> Wanted:
    """Raises Refused."""
    kind = KINDS[wish.type]
    definition = wish.definition
    properties = scope.value(definition.get("Properties") or {})
    tags: dict[str, Any] = {}
    if kind.tags:
        own = properties.pop("Tags", None)
        tags = dict(stack_tags) | _tags(own, wish.logical_id)
    default = "Delete"
    return Wanted(
        wish,
        kind,
        properties,
        tags,
        str(scope.value(definition.get("DeletionPolicy", default))),
        str(scope.value(definition.get("UpdateReplacePolicy", default))),
        scope.value(definition["Metadata"]) if "Metadata" in definition else None,
    )


def _tags(own: Any, logical_id: str) -> dict[str, Any]:
    if own is None:
        return {}
    if isinstance(own, dict):
        return {name: _text(value) for name, value in own.items()}
    try:
        return {as_text(each["Key"]): _text(each["Value"]) for each in own}
    except (TypeError, KeyError) as error:
        raise Refused(f"Tags of {logical_id} are no list of Key and Value") from error


def _text(value: Any) -> Any:
    return value if isinstance(value, Unknown) else as_text(value)


def difference(before: Resource, after: Wanted) -> Difference:
    """What of a resource changes."""
    kind = after.kind
    changed: dict[str, frozenset[str]] = {}
    replacing: set[str] = set()
    perhaps: set[str] = set()
    for name in [*before.properties, *(after.properties.keys() - before.properties.keys())]:
        one, other = before.properties.get(name), after.properties.get(name)
        if normal(one) == normal(other):
            continue
        changed[name] = unknowns(other)
        if kind.update is None or _replaces(kind, name, one, other):
            (perhaps if changed[name] else replacing).add(name)
    attributes = [
        name
        for name, one, other in (
            ("Tags", dict(before.tags), dict(after.tags)),
            ("Metadata", before.metadata, after.metadata),
            ("DeletionPolicy", before.deletion, after.deletion),
            ("UpdateReplacePolicy", before.replacement, after.replacement),
        )
        if one != other
    ]
    return Difference(changed, frozenset(replacing), frozenset(perhaps), tuple(attributes))


def _replaces(kind: Kind, name: str, one: Any, other: Any) -> bool:
    if name in kind.replaced:
        return True
    for path in kind.replaced:
        top, _, inside = path.partition(".")
        if top == name and inside:
            place = tuple(inside.split("."))
            if normal(at(one, place)) != normal(at(other, place)):
                return True
    return False
