"""Places in a template: the keys and indices that lead to a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]


def at(document: Any, place: Place) -> Any:
    """The value at ``place``; None where the document has no such place."""
    for step in place:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def put(document: Any, place: Place, value: object) -> None:
    """Sets the value at ``place``, in a document whose last step may be new."""
    at(document, place[:-1])[place[-1]] = value


def tell(place: Place) -> str:
    """``Resources.rFunction.Properties.Code``."""
    return ".".join(str(step) for step in place)


def resources(document: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every resource, those inside of ``Fn::ForEach`` too."""
    yield from _resources(document.get("Resources"), ("Resources",))


def _resources(group: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    if not isinstance(group, dict):
        return
    for name, resource in group.items():
        if name.startswith("Fn::ForEach::"):
            yield from _resources(at(resource, (2,)), (*place, name, 2))
        elif isinstance(resource, dict):
            yield (*place, name), resource
