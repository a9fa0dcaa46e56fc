"""From what was asked (nodes) to what BuildKit does (LLB): the meaning of every API call.

Nothing here runs a step. A state is computed once per node; only two calls must ask BuildKit
for it: ``from`` and ``dockerBuild``, because an image's configuration decides what later steps
see.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ci.engine.api.nodes import Node
from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree
from ci.engine.buildkit.solve import Buildctl
from ci.engine.graph.containers import BadRequest, Container, Mount, configured
from ci.engine.graph.context import Contexts
from ci.engine.graph.images import Dockerfile, Images
from ci.engine.graph.proxy import Services
from ci.engine.graph.steps import execute
from ci.engine.shared import Shared

State: TypeAlias = Container | Dockerfile


@dataclass
class Evaluator:
    """Computes states; ``images`` asks BuildKit, ``contexts`` prepares build contexts."""

    buildctl: Buildctl
    images: Images
    contexts: Contexts
    services: Services
    shim: Path
    platform: str
    _shared: Shared = field(default_factory=Shared)

    async def tree(self, node: Node) -> Tree:
        """The directory that a Directory node stands for, or the file of a File node."""
        return await self._shared.once(("tree", node.id), lambda: self._tree(node))

    async def state(self, node: Node) -> State:
        """A Container node; a Dockerfile as long as nothing asks for more than to build it."""
        return await self._shared.once(("state", node.id), lambda: self._state(node))

    async def container(self, node: Node) -> Container:
        state = await self.state(node)
        if isinstance(state, Container):
            return state
        return await self._shared.once(("graft", node.id), lambda: self._graft(state))

    async def _graft(self, build: Dockerfile) -> Container:
        root, config = await self.images.convert(build)
        return Container(build.platform, root, config)

    async def _tree(self, node: Node) -> Tree:
        args, parent = node.args, node.parent
        if node.field == "directory" and parent is None:
            return Tree()
        assert parent is not None  # noqa: S101 - only Query.directory has no parent
        if parent.type == "Host":
            path = host_directory(args["path"])
            unique = node.id if args["noCache"] else ""
            return llb.local(path, include=args["include"], exclude=args["exclude"], unique=unique)
        if parent.type == "Container":
            container = await self.container(parent)
            return container.root if node.field == "rootfs" else container.tree_at(args["path"])
        base = await self.tree(parent)
        if node.field in ("directory", "file"):
            return base.at(args["path"].lstrip("/"))
        return await self._changed(node, base, args["path"])

    async def _changed(self, node: Node, base: Tree, path: str) -> Tree:
        """``base`` after withNewFile, withFile or withDirectory."""
        args = node.args
        if node.field == "withNewFile":
            return llb.write(base, path, args["contents"].encode(), args["permissions"])
        source = await self.tree(args["source"])
        if node.field == "withFile":
            if path.endswith("/"):
                path = posixpath.join(path, posixpath.basename(source.path))
            return llb.copy(base, source, path, contents=False, mode=args.get("permissions"))
        return llb.copy(base, source, path, include=args["include"], exclude=args["exclude"])

    async def _state(self, node: Node) -> State:
        parent, args = node.parent, node.args
        if parent is None:
            return Container(args.get("platform") or self.platform)
        if node.field == "dockerBuild":
            return await self._docker_build(node, parent)
        if node.field == "withLabel":
            before = await self.state(parent)
            if isinstance(before, Dockerfile):
                return replace(before, labels=(*before.labels, (args["name"], args["value"])))
        if node.field == "withRegistryAuth":
            host = args["address"].partition("//")[2] or args["address"]
            login = (args["username"], args["secret"].args["name"])
            self.buildctl.registry_auth[host.partition("/")[0]] = login
            return await self.state(parent)
        container = await self.container(parent)
        match node.field:
            case "from":
                root, config = await self.images.pull(args["address"], container.platform)
                return replace(container, root=root, config=config, output=None)
            case "withRootfs":
                return replace(container, root=llb.as_root(await self.tree(args["directory"])))
            case "withExec":
                return execute(container, args, self.shim)
            case "withNewFile" | "withFile" | "withDirectory":
                return await self._with_content(container, node)
            case "withMountedDirectory" | "withMountedCache" | "withMountedSecret":
                mount = await self._mount(container, node)
                others = tuple(m for m in container.mounts if m.path != mount.path)
                return replace(container, mounts=(*others, mount))
            case "withServiceBinding":
                address = await self.services.bind(args["service"])
                return replace(container, hosts=(*container.hosts, (args["alias"], address)))
            case _:
                return configured(container, node.field, args)

    async def _mount(self, container: Container, node: Node) -> Mount:
        args, path = node.args, container.absolute(node.args["path"])
        if node.field == "withMountedCache":
            return Mount(path, cache=(args["cache"].args["key"], args["sharing"]))
        if node.field == "withMountedSecret":
            return Mount(path, secret=(args["source"].args["name"], args["mode"]))
        return Mount(path, tree=await self.tree(args["source"]), read_only=args["readOnly"])

    async def _with_content(self, container: Container, node: Node) -> Container:
        path = container.absolute(node.args["path"])
        if node.args["path"].endswith("/"):
            path += "/"
        for at, mount in reversed(list(enumerate(container.mounts))):
            if mount.tree and path.startswith(mount.path.rstrip("/") + "/"):
                inside = path[len(mount.path.rstrip("/")) :]
                changed = replace(mount, tree=await self._changed(node, mount.tree, inside))
                mounts = (*container.mounts[:at], changed, *container.mounts[at + 1 :])
                return replace(container, mounts=mounts)
        return replace(container, root=await self._changed(node, container.root, path))

    async def _docker_build(self, node: Node, directory: Node) -> Dockerfile:
        args = node.args
        return Dockerfile(
            context=await self.contexts.materialize(directory),
            filename=args["dockerfile"],
            platform=args.get("platform") or self.platform,
            target=args["target"],
            build_args=tuple((a["name"], a["value"]) for a in args["buildArgs"]),
            secrets=tuple(secret.args["name"] for secret in args["secrets"]),
        )


def host_directory(path: str) -> Path:
    """A directory of the host; a relative one is relative to where the session was started."""
    directory = Path(path).absolute()
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "no such directory"
        raise BadRequest(f"host directory {directory}: {what}")
    if not os.access(directory, os.R_OK | os.X_OK):
        raise BadRequest(f"host directory {directory}: permission denied")
    return directory
