"""Build contexts: the directory of a Directory node as a path that ``buildctl`` can send."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ci.engine.api.nodes import Node
from ci.engine.graph.containers import BadRequest
from ci.engine.scratch import ScratchSpace


@dataclass(frozen=True)
class HostTree:
    """A host directory with files laid over it (path → (contents, mode))."""

    path: Path
    files: tuple[tuple[str, str, int], ...] = ()


def host_tree(node: Node) -> HostTree | None:
    """``node`` as a host directory, where it is one: whole, below it, or with new files."""
    parent = node.parent
    if parent is None or node.type != "Directory":
        return None
    if parent.type == "Host":
        if node.args["include"] or node.args["exclude"]:
            return None
        return HostTree(Path(node.args["path"]).absolute())
    below = host_tree(parent)
    if below is None:
        return None
    if node.field == "directory" and not below.files:
        return HostTree(Path(os.path.normpath(below.path / node.args["path"].lstrip("/"))))
    if node.field == "withNewFile":
        name = posixpath.normpath(node.args["path"].lstrip("/"))
        new = (name, node.args["contents"], node.args["permissions"])
        return HostTree(below.path, (*below.files, new))
    return None


@dataclass(frozen=True)
class Context:
    """A build context on the host.

    ``key`` names it in a graph of more steps than the build's own, where BuildKit sends only what
    changed since it last saw that key.
    """

    path: Path
    key: str

    @classmethod
    def at(cls, path: Path, *identity: str) -> Context:
        text = "\0".join([str(path), *identity])
        return cls(path, "context-" + hashlib.sha256(text.encode()).hexdigest()[:16])


@dataclass
class Contexts:
    """Makes contexts. ``export`` writes any Directory node to a path, through BuildKit."""

    scratch: ScratchSpace
    export: Callable[[Node, Path], Awaitable[None]] = field(init=False)

    async def materialize(self, node: Node) -> Context:
        """A path with the node's content; the host's own directory where nothing was changed."""
        tree = host_tree(node)
        if tree is None:
            path = self.scratch.keep()
            await self.export(node, path)
            return Context.at(path)
        if not tree.path.is_dir():
            raise BadRequest(f"host directory {tree.path}: no such directory")
        if not tree.files:
            return Context.at(tree.path)
        path = await asyncio.to_thread(overlay, tree, self.scratch.keep())
        return Context(path, Context.at(tree.path, *(name for name, _, _ in tree.files)).key)


def overlay(tree: HostTree, target: Path) -> Path:
    """Lays files over a host directory without touching it or copying its data.

    Files are hard links to the originals, which keep content, mode and times; where the file
    system or its owner forbids that, they are copied.
    """
    shutil.copytree(tree.path, target, symlinks=True, copy_function=_link, dirs_exist_ok=True)
    for name, contents, mode in tree.files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link to the checkout's file must not be written through
        path.write_text(contents)
        path.chmod(mode)
    return target


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
