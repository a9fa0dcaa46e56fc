"""LLB, BuildKit's graph of build steps: vertices made in Python, serialized for ``buildctl``.

The messages are generated at set-up from ``solver/pb/ops.proto`` of the BuildKit version in use
(see ``install.py``); nothing of BuildKit is copied here.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ops_pb2 as pb
from google.protobuf import json_format

SCRATCH = -1
"""The input index that means "an empty filesystem"."""


@dataclass(frozen=True, eq=False)
class Vertex:
    """One step. ``inputs`` are (vertex, output index); ``local`` is a host directory it reads.

    ``name`` is what progress shows, ``secrets`` the names of those that it is given. Two
    vertices of equal bytes have one digest, and BuildKit runs them once.
    """

    op: Any
    inputs: tuple[tuple[Vertex, int], ...] = ()
    name: str = ""
    local: tuple[str, Path] | None = None
    secrets: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()

    @cached_property
    def bytes(self) -> bytes:
        message = pb.Op()
        message.CopyFrom(self.op)
        del message.inputs[:]
        for vertex, index in self.inputs:
            message.inputs.add(digest=vertex.digest, index=index)
        return bytes(message.SerializeToString(deterministic=True))

    @cached_property
    def digest(self) -> str:
        return digest_of(self.bytes)


@dataclass(frozen=True)
class Tree:
    """A directory inside the output of a vertex; ``vertex`` None is an empty filesystem."""

    vertex: Vertex | None = None
    index: int = 0
    path: str = "/"

    def at(self, path: str) -> Tree:
        return Tree(self.vertex, self.index, posixpath.normpath(posixpath.join(self.path, path)))

    @property
    def output(self) -> tuple[tuple[Vertex, int], ...]:
        return () if self.vertex is None else ((self.vertex, self.index),)


@dataclass(frozen=True)
class Definition:
    """A graph ready to be solved, with the host directories and the secrets that it reads."""

    bytes: bytes
    locals: dict[str, Path] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def define(tree: Tree) -> Definition:
    """Serializes the graph under one output, each vertex once, inputs before their users."""
    message = pb.Definition()
    if tree.vertex is None:
        return Definition(bytes(message.SerializeToString()))
    steps = message.__getattribute__("def")  # "def" is a keyword of Python
    locals_: dict[str, Path] = {}
    secrets: set[str] = set()
    for vertex in _inputs_first(tree.vertex):
        steps.append(vertex.bytes)
        metadata = message.metadata[vertex.digest]
        if vertex.name:
            metadata.description["llb.customname"] = vertex.name
        for cap in vertex.caps:
            metadata.caps[cap] = True
        if vertex.local:
            name, path = vertex.local
            if locals_.setdefault(name, path) != path:
                raise ValueError(f"two versions of the build context {name} in one graph")
        secrets.update(vertex.secrets)
    last = pb.Op()
    last.inputs.add(digest=tree.vertex.digest, index=tree.index)
    end = last.SerializeToString(deterministic=True)
    steps.append(end)
    message.metadata[digest_of(end)].SetInParent()
    return Definition(bytes(message.SerializeToString()), locals_, frozenset(secrets))


def _inputs_first(root: Vertex) -> Iterator[Vertex]:
    """Every vertex under ``root`` once, by digest; iterative, because chains can be long."""
    done: set[str] = set()
    stack: list[tuple[Vertex, bool]] = [(root, False)]
    expanded: set[int] = set()
    while stack:
        vertex, ready = stack.pop()
        if ready:
            if vertex.digest not in done:
                done.add(vertex.digest)
                yield vertex
        elif id(vertex) not in expanded:
            expanded.add(id(vertex))
            stack.append((vertex, True))
            stack.extend((source, False) for source, _ in reversed(vertex.inputs))


def local(
    directory: Path, *, include: Sequence[str] = (), exclude: Sequence[str] = (), unique: str = ""
) -> Tree:
    """A directory of the host, sent when it is solved. ``unique`` forbids reuse of a transfer.

    It is a copy of what was sent: only a copy is known by its content, so that steps on it are
    found in the cache by the next solve, which is another session to BuildKit.
    """
    key = json.dumps([str(directory), list(include), list(exclude), unique])
    name = "host-" + hashlib.sha256(key.encode()).hexdigest()[:16]
    op = pb.Op()
    op.source.identifier = f"local://{name}"
    op.source.attrs["local.sharedkeyhint"] = name
    if include:
        op.source.attrs["local.includepattern"] = json.dumps(list(include))
    if exclude:
        op.source.attrs["local.excludepatterns"] = json.dumps(list(exclude))
    sent = Vertex(op, name=f"[internal] host directory {directory}", local=(name, directory))
    return copy(Tree(), Tree(sent), "/")


def mkdir(base: Tree, path: str, mode: int = 0o755) -> Tree:
    """``base`` with a directory (and its parents) at ``path``."""
    op = pb.Op()
    action = op.file.actions.add(input=0 if base.vertex else SCRATCH, secondaryInput=SCRATCH)
    action.mkdir.path = posixpath.join(base.path, path.lstrip("/"))
    action.mkdir.mode = mode
    action.mkdir.makeParents = True
    action.mkdir.timestamp = -1
    return Tree(Vertex(op, base.output, name=f"[internal] mkdir {path}"), 0, base.path)


def write(base: Tree, path: str, data: bytes, mode: int) -> Tree:
    """``base`` with a new file; parents are made."""
    parent = posixpath.dirname(posixpath.normpath(path))
    if parent not in ("", "/"):
        base = mkdir(base, parent)
    op = pb.Op()
    action = op.file.actions.add(input=0 if base.vertex else SCRATCH, secondaryInput=SCRATCH)
    action.mkfile.path = posixpath.join(base.path, path.lstrip("/"))
    action.mkfile.data = data
    action.mkfile.mode = mode
    action.mkfile.timestamp = -1
    return Tree(Vertex(op, base.output, name=f"[internal] write {path}"), 0, base.path)


def copy(
    base: Tree,
    source: Tree,
    path: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    contents: bool = True,
    mode: int | None = None,
) -> Tree:
    """``base`` with ``source`` copied to ``path``; a directory's contents, not itself."""
    op = pb.Op()
    inputs = base.output + source.output
    if source.vertex is None:
        return mkdir(base, path)
    action = op.file.actions.add(
        input=0 if base.vertex else SCRATCH, secondaryInput=len(base.output)
    )
    step = action.copy
    step.src = source.path
    step.dest = posixpath.join(base.path, path.lstrip("/"))
    step.mode = -1 if mode is None else mode
    step.dirCopyContents = contents
    step.createDestPath = True
    step.timestamp = -1
    step.include_patterns.extend(include)
    step.exclude_patterns.extend(exclude)
    return Tree(Vertex(op, inputs, name=f"[internal] copy {source.path} to {path}"), 0, base.path)


def as_root(tree: Tree) -> Tree:
    """The same directory as a filesystem of its own."""
    return tree if tree.path == "/" else copy(Tree(), tree, "/")


def from_frontend(document: dict[str, Any], swap: Callable[[Vertex], Vertex]) -> Tree:
    """The LLB that the Dockerfile frontend answers to ``frontend.convertllb``.

    ``document`` is its ``result.json``: ``def`` maps digests to operations in protobuf's JSON
    form, ``metadata`` to their descriptions. ``swap`` may replace a vertex (the build context, a
    step that mounts a secret). Digests are computed anew, because what depends on a session is
    taken out.
    """
    operations: dict[str, dict[str, Any]] = document["def"]
    made: dict[str, Vertex] = {}
    for digest in _frontend_order(operations):
        message = dict(operations[digest])
        inputs = message.pop("inputs", [])
        op = json_format.ParseDict(message, pb.Op())
        if op.HasField("source"):
            for key in ("local.session", "local.unique", "local.uniqueid"):
                op.source.attrs.pop(key, None)
        described = document.get("metadata", {}).get(digest) or {}
        vertex = Vertex(
            op,
            tuple((made[i["digest"]], int(i.get("index", 0))) for i in inputs),
            name=(described.get("description") or {}).get("llb.customname", ""),
            caps=tuple(sorted(described.get("caps") or ())),
        )
        made[digest] = swap(vertex)
    used = {i["digest"] for operation in operations.values() for i in operation.get("inputs", [])}
    ends = [operations[digest] for digest in operations if digest not in used]
    if not ends or not ends[0].get("inputs"):
        return Tree()  # FROM scratch with nothing after it
    result = ends[0]["inputs"][0]
    return Tree(made[result["digest"]], int(result.get("index", 0)))


def _frontend_order(operations: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Digests of all vertices but the terminal one (which has no operation), inputs first."""
    order: dict[str, None] = {}

    def visit(digest: str) -> None:
        if digest in order:
            return
        for source in operations[digest].get("inputs", []):
            visit(source["digest"])
        order[digest] = None

    for digest, operation in operations.items():
        if set(operation) - {"inputs"}:
            visit(digest)
    return order
