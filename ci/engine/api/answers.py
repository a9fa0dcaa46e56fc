"""What a client asks to know: the calls that end a chain, each one or two solves."""

from __future__ import annotations

import io
import posixpath
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.engine.api.nodes import Node
from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree
from ci.engine.buildkit.rawjson import SolveError
from ci.engine.buildkit.solve import Buildctl, csv_row
from ci.engine.graph.containers import BadRequest, Container
from ci.engine.graph.evaluate import Evaluator
from ci.engine.graph.images import Publication
from ci.engine.scratch import ScratchSpace
from ci.engine.shared import Shared


@dataclass
class Answers:
    """Answers every leaf of ``schema.graphql``; equal questions are answered once."""

    buildctl: Buildctl
    evaluator: Evaluator
    scratch: ScratchSpace
    _shared: Shared = field(default_factory=Shared)

    async def answer(self, node: Node, question: str, args: Mapping[str, Any]) -> Any:
        """The value of ``question`` on ``node``. Raises SolveError or BadRequest."""
        if question == "name" and node.type == "Secret":
            return node.args["name"]
        kind = {"Container": self._container, "Directory": self._directory, "File": self._file}
        ask = kind[node.type]
        if question in ("export", "publish"):  # the world may have changed since the last time
            return await ask(node, question, args)
        key = (node.id, question, tuple(sorted(args.items())))
        return await self._shared.once(key, lambda: ask(node, question, args))

    async def _container(self, node: Node, question: str, args: Mapping[str, Any]) -> Any:
        match question:
            case "publish":
                return await self._publish(node, args)
            case "sync":
                await self._sync(node)
                return node.id
        container = await self.evaluator.container(node)
        config = container.config
        match question:
            case "stdout" | "stderr":
                return (await self._output(container, question)).decode(errors="replace")
            case "exitCode":
                return int(await self._output(container, "exit"))
            case "envVariable":
                return container.variable(args["name"])
            case "label":
                return (config.get("Labels") or {}).get(args["name"])
            case "user":
                return config.get("User") or ""
            case "workdir":
                return config.get("WorkingDir") or ""
            case "entrypoint":
                return config.get("Entrypoint") or []
            case "defaultArgs":
                return config.get("Cmd") or []
            case "platform":
                return container.platform
        raise AssertionError(f"schema.graphql serves Container.{question}, answers.py does not")

    async def _sync(self, node: Node) -> None:
        state = await self.evaluator.state(node)
        if isinstance(state, Container):
            await self._solve(state.root)
        else:
            await self.evaluator.images.build(state)

    async def _publish(self, node: Node, args: Mapping[str, Any]) -> str:
        address = args["address"]
        target = Publication(
            address, args["forcedCompression"], args["mediaTypes"] == "OCIMediaTypes"
        )
        state = await self.evaluator.state(node)
        return f"{address}@{await self.evaluator.images.publish(state, target)}"

    async def _output(self, container: Container, name: str) -> bytes:
        if container.output is None:
            raise BadRequest("no command has been set")
        return await self._read(container.output.at(name))

    async def _directory(self, node: Node, question: str, args: Mapping[str, Any]) -> Any:
        match question:
            case "sync":
                await self._solve(await self.evaluator.tree(node))
                return node.id
            case "entries":
                tree = await self.evaluator.tree(node)
                return await self._entries(tree.at((args["path"] or ".").lstrip("/") or "."))
            case "export":
                return await self._export(node, Path(args["path"]).absolute(), args["wipe"])
        raise AssertionError(f"schema.graphql serves Directory.{question}, answers.py does not")

    async def _file(self, node: Node, question: str, args: Mapping[str, Any]) -> Any:
        tree = await self.evaluator.tree(node)
        match question:
            case "name":
                return posixpath.basename(tree.path)
            case "sync":
                await self._solve(tree)
                return node.id
            case "contents":
                return (await self._read(tree)).decode(errors="replace")
            case "size":
                return len(await self._read(tree))
            case "export":
                target = Path(args["path"]).absolute()
                if args["allowParentDirPath"] and target.is_dir():
                    target /= posixpath.basename(tree.path)
                data = await self._read(tree)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                return str(target)
        raise AssertionError(f"schema.graphql serves File.{question}, answers.py does not")

    async def _solve(self, tree: Tree) -> None:
        if tree.vertex is not None:
            await self.buildctl.solve([], llb.define(llb.as_root(tree)))

    async def _tar(self, tree: Tree) -> tarfile.TarFile:
        data = await self.buildctl.solve(["--output", "type=tar,dest=-"], llb.define(tree))
        return tarfile.open(fileobj=io.BytesIO(data))

    async def _read(self, tree: Tree) -> bytes:
        """The content of the file at ``tree``."""
        if tree.vertex is None:
            raise SolveError(f"{tree.path}: no such file: the directory is empty")
        name = posixpath.basename(tree.path)
        with await self._tar(llb.copy(Tree(), tree, f"/{name}", contents=False)) as archive:
            member = archive.getmember(name)
            if member.isdir():
                raise BadRequest(f"{tree.path}: is a directory, not a file")
            content = archive.extractfile(member)
            return content.read() if content else b""

    async def _entries(self, tree: Tree) -> list[str]:
        if tree.vertex is None:
            return []
        with await self._tar(llb.copy(Tree(), tree, "/", exclude=["*/*"])) as archive:
            return sorted(
                posixpath.normpath(member.name) + ("/" if member.isdir() else "")
                for member in archive
                if posixpath.normpath(member.name) != "."
            )

    async def _export(self, node: Node, target: Path, wipe: bool) -> str:
        if wipe and target.is_dir():
            with self.scratch.directory() as fresh:
                await self.export(node, fresh)
                for old in target.iterdir():
                    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
                shutil.copytree(fresh, target, symlinks=True, dirs_exist_ok=True)
        else:
            await self.export(node, target)
        return str(target)

    async def export(self, node: Node, target: Path) -> None:
        """Writes the directory's content to ``target``, over what is there."""
        tree = await self.evaluator.tree(node)
        target.mkdir(parents=True, exist_ok=True)
        if tree.vertex is not None:
            await self.buildctl.solve(
                ["--output", csv_row("type=local", f"dest={target}")],
                llb.define(llb.as_root(tree)),
            )
