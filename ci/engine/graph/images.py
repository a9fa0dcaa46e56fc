"""Images through the stock Dockerfile frontend: pulled, built, turned into LLB, published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree, Vertex
from ci.engine.buildkit.rawjson import EngineGone, SolveError
from ci.engine.buildkit.solve import Buildctl, csv_row
from ci.engine.graph.containers import Container
from ci.engine.graph.context import Context
from ci.engine.scratch import ScratchSpace


@dataclass(frozen=True)
class Dockerfile:
    """A docker build that was asked for; labels may follow without ending the one-solve path."""

    context: Context
    filename: str
    platform: str
    target: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def arguments(self) -> list[str]:
        """What ``buildctl build`` needs to know."""
        options = [f"filename={self.filename}", f"platform={self.platform}"]
        options += [f"target={self.target}"] if self.target else []
        options += [f"build-arg:{name}={value}" for name, value in self.build_args]
        options += [f"label:{name}={value}" for name, value in self.labels]
        return ["--frontend", "dockerfile.v0", *(x for o in options for x in ("--opt", o))]

    def locals(self) -> dict[str, Path]:
        return {"context": self.context.path, "dockerfile": self.context.path}


@dataclass(frozen=True)
class Publication:
    """Where and how an image is pushed."""

    address: str
    compression: str | None
    oci_media_types: bool


@dataclass(frozen=True)
class Images:
    """What the Dockerfile frontend and the image exporter do."""

    buildctl: Buildctl
    scratch: ScratchSpace

    async def pull(self, reference: str, platform: str) -> tuple[Tree, dict[str, Any]]:
        """The filesystem and the configuration of an image in a registry."""
        with self.scratch.directory() as directory:
            (directory / "Dockerfile").write_text(f"FROM {reference}\n")
            context = Context.at(directory)
            try:
                return await self.convert(Dockerfile(context, "Dockerfile", platform))
            except EngineGone:
                raise
            except SolveError as error:
                # BuildKit's words, without the excerpt of a Dockerfile that nobody wrote.
                reason = str(error).strip().splitlines()[-1].removeprefix("ERROR: ")
                raise SolveError(
                    f'failed to resolve image "{reference}" (platform: "{platform}"): {reason}'
                ) from error

    async def convert(self, build: Dockerfile) -> tuple[Tree, dict[str, Any]]:
        """A docker build as LLB that more steps can follow, and its configuration.

        The frontend answers a request for its LLB without building; the configuration is read
        from an export without a name, which shares every step with what follows.
        """
        config, tree = await asyncio.gather(self.config(build), self._graph(build))
        return tree, config

    async def build(self, build: Dockerfile) -> None:
        """Runs the build and keeps nothing but the cache."""
        await self.buildctl.solve(build.arguments(), locals_=build.locals(), secrets=build.secrets)

    async def config(self, build: Dockerfile) -> dict[str, Any]:
        metadata = await self._build(build, "type=image")
        document = await self.buildctl.image_config(metadata["containerimage.config.digest"])
        config: dict[str, Any] = document.get("config") or {}
        return config

    async def _graph(self, build: Dockerfile) -> Tree:
        answer = await self.buildctl.solve(
            [*build.arguments(), "--opt", "requestid=frontend.convertllb"],
            locals_=build.locals(),
            secrets=build.secrets,
            quiet=True,
        )
        document = json.loads(answer[answer.index(b"{") :])

        def swap(vertex: Vertex) -> Vertex:
            if vertex.op.source.identifier == "local://context":
                key = build.context.key
                vertex.op.source.identifier = f"local://{key}"
                vertex.op.source.attrs["local.sharedkeyhint"] = key
                return replace(vertex, local=(key, build.context.path))
            ids = [m.secretOpt.ID for m in vertex.op.exec.mounts if m.secretOpt.ID]
            ids += [variable.ID for variable in vertex.op.exec.secretenv]
            used = tuple(id_ for id_ in ids if id_ in build.secrets)
            return replace(vertex, secrets=used) if used else vertex

        return llb.from_frontend(document, swap)

    async def publish(self, state: Container | Dockerfile, target: Publication) -> str:
        """Builds what is not built, pushes it, and returns the digest of its manifest."""
        output = [
            "type=image",
            f"name={target.address}",
            "push=true",
            f"oci-mediatypes={str(target.oci_media_types).lower()}",
        ]
        if target.compression:
            output += [f"compression={target.compression.lower()}", "force-compression=true"]
        if isinstance(state, Dockerfile):
            metadata = await self._build(state, csv_row(*output))
        else:
            output.append(f"containerimage.config={json.dumps(image_document(state))}")
            metadata = await self._export(state.root, csv_row(*output))
        digest: str = metadata["containerimage.digest"]
        return digest

    async def _build(self, build: Dockerfile, output: str) -> Mapping[str, Any]:
        with self.scratch.file() as metadata:
            await self.buildctl.solve(
                [*build.arguments(), "--output", output, "--metadata-file", str(metadata)],
                locals_=build.locals(),
                secrets=build.secrets,
            )
            return read_metadata(metadata)

    async def _export(self, tree: Tree, output: str) -> Mapping[str, Any]:
        with self.scratch.file() as metadata:
            await self.buildctl.solve(
                ["--output", output, "--metadata-file", str(metadata)],
                llb.define(llb.as_root(tree)),
            )
            return read_metadata(metadata)


def read_metadata(path: Path) -> Mapping[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SolveError(f"buildctl left no metadata of the image: {error}") from error
    return document


def image_document(container: Container) -> dict[str, Any]:
    """A container as an image configuration (OCI image spec, "Image Configuration")."""
    parts: Sequence[str] = container.platform.split("/")
    document = {
        "os": parts[0],
        "architecture": parts[1],
        "config": dict(container.config),
        "rootfs": {"type": "layers"},
    }
    return document | ({"variant": parts[2]} if len(parts) > 2 else {})
