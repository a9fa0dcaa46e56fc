"""The objects of a session: what a client asked for, not yet done.

A node is one call of the API (``Container.withExec`` with its arguments) on the node before it.
Its ID is the digest of that chain, so equal chains are one object, and an ID means something
only in the session that handed it out: it is looked up, never decoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class UnknownID(Exception):
    """No object of this session has this ID."""


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """``type`` is the GraphQL type; ``field`` the call that made it; ``args`` by GraphQL name.

    Arguments that were IDs are nodes; a secret's plaintext is not among them.
    """

    type: str
    field: str
    args: Mapping[str, Any]
    parent: Node | None
    id: str


class Nodes:
    """All nodes of a session, by ID."""

    def __init__(self) -> None:
        self._by_id: dict[str, Node] = {}

    def make(
        self, type_: str, field: str, args: Mapping[str, Any], parent: Node | None = None
    ) -> Node:
        key = json.dumps([type_, field, _identity(args), parent.id if parent else None])
        id_ = f"{type_}:{hashlib.sha256(key.encode()).hexdigest()}"
        node = self._by_id.get(id_)
        if node is None:
            node = self._by_id[id_] = Node(type_, field, args, parent, id_)
        return node

    def load(self, id_: str, type_: str | None = None) -> Node:
        """The node with this ID. Raises UnknownID, also where it is not a ``type_``."""
        node = self._by_id.get(id_)
        if node is None:
            raise UnknownID(f"unknown ID {id_[:80]!r}: no object of this session has it")
        if type_ and node.type != type_:
            raise UnknownID(f"ID {id_[:80]!r} is a {node.type}, not a {type_}")
        return node


def _identity(value: Any) -> Any:
    """What of an argument decides the identity of its node, as JSON."""
    if isinstance(value, Node):
        return ["node", value.id]
    if isinstance(value, Mapping):
        return {key: _identity(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_identity(item) for item in value]
    return value
