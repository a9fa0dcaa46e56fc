"""The LLB of one withExec: the command under the shim, and every mount that it sees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops_pb2 as pb

from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree, Vertex
from ci.engine.buildkit.rawjson import SHIM
from ci.engine.graph.containers import BadRequest, Container, Mount

OUTPUT = "/.dagger-embedded-output"
INPUT = "/.dagger-embedded-input"


def execute(container: Container, args: Mapping[str, Any], shim: Path) -> Container:
    """``container`` after ``withExec(args, useEntrypoint, stdin, expect)``."""
    command = list(args["args"])
    if not command:
        command = list(container.config.get("Cmd") or ())
    if args["useEntrypoint"]:
        command = [*(container.config.get("Entrypoint") or ()), *command]
    if not command:
        raise BadRequest("no command has been set")
    return _Step(container, command, args, shim).run()


class _Step:
    def __init__(
        self, container: Container, command: list[str], args: Mapping[str, Any], shim: Path
    ) -> None:
        self._container = container
        self._command = command
        self._args = args
        self._shim = llb.local(shim.parent, include=[shim.name]).at(shim.name)
        self._op = pb.Op()
        self._op.platform.CopyFrom(platform(container.platform))
        self._inputs: list[tuple[Vertex, int]] = []
        self._outputs = 0

    def run(self) -> Container:
        container, meta = self._container, self._op.exec.meta
        meta.args.extend([SHIM, json.dumps(self._request(), separators=(",", ":"))])
        env = container.env()
        if container.variable("PATH") is None:
            env.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        meta.env.extend(env)
        meta.cwd = container.config.get("WorkingDir") or "/"
        meta.user = container.config.get("User") or ""
        meta.removeMountStubsRecursive = True
        if self._args["expect"] != "SUCCESS":
            meta.validExitCodes.extend(expected_codes(self._args["expect"]))
        for alias, address in container.hosts:
            meta.extraHosts.add(Host=alias, IP=address)
        for name, secret in container.secret_env:
            self._op.exec.secretenv.add(ID=secret, name=name)
        root = self._mount("/", llb.as_root(container.root))
        output = self._mount(OUTPUT, llb.mkdir(Tree(), "/out", 0o777), selector="/out")
        self._mount(SHIM, self._shim, read_only=True)
        if self._args["stdin"]:
            given = llb.write(Tree(), "/stdin", self._args["stdin"].encode(), 0o444)
            self._mount(INPUT, given.at("stdin"), read_only=True)
        mounted = [self._attach(mount) for mount in container.mounts]
        vertex = Vertex(
            self._op,
            tuple(self._inputs),
            name="exec " + " ".join(self._command),
            secrets=tuple(
                [secret for _, secret in container.secret_env]
                + [mount.secret[0] for mount in container.mounts if mount.secret]
            ),
        )
        return replace(
            container,
            root=Tree(vertex, root),
            output=Tree(vertex, output, "/out"),
            mounts=tuple(
                mount if index is None else replace(mount, tree=replace(
                    mount.tree or Tree(), vertex=vertex, index=index))
                for mount, index in zip(container.mounts, mounted, strict=True)
            ),
        )  # fmt: skip

    def _request(self) -> dict[str, Any]:
        container = self._container
        return {
            "args": self._command,
            "out": OUTPUT,
            "stdin": INPUT if self._args["stdin"] else "",
            "secretEnv": [name for name, _ in container.secret_env],
            "secretFiles": [mount.path for mount in container.mounts if mount.secret],
            # BuildKit's cache does not tell steps apart by these; Dagger's does.
            "cacheKey": [
                *(secret for _, secret in container.secret_env),
                *(mount.secret[0] for mount in container.mounts if mount.secret),
                *(mount.cache[0] for mount in container.mounts if mount.cache),
            ],
        }

    def _mount(self, dest: str, tree: Tree, *, read_only: bool = False, selector: str = "") -> int:
        """Adds a bind mount; returns the index of its output, -1 where it has none."""
        position = -1
        if tree.vertex is not None:
            position = len(self._inputs)
            self._inputs.append((tree.vertex, tree.index))
        output = -1
        if not read_only:
            output, self._outputs = self._outputs, self._outputs + 1
        chosen = selector or ("" if tree.path == "/" else tree.path)
        self._op.exec.mounts.add(
            input=position, dest=dest, output=output, readonly=read_only, selector=chosen
        )
        return output

    def _attach(self, mount: Mount) -> int | None:
        if mount.tree is not None:
            index = self._mount(mount.path, mount.tree, read_only=mount.read_only)
            return None if index < 0 else index
        added = self._op.exec.mounts.add(input=-1, dest=mount.path, output=-1)
        if mount.cache:
            key, sharing = mount.cache
            added.mountType = pb.CACHE
            added.cacheOpt.ID = key
            added.cacheOpt.sharing = pb.CacheSharingOpt.Value(sharing)
        elif mount.secret:
            secret, mode = mount.secret
            added.mountType = pb.SECRET
            added.secretOpt.ID = secret
            added.secretOpt.mode = mode
        return None


def expected_codes(expect: str) -> Sequence[int]:
    """Exit codes that Dagger's ReturnType accepts: 128 to 191 never count (signals)."""
    failures = [*range(1, 128), *range(192, 256)]
    return {"SUCCESS": [0], "FAILURE": failures, "ANY": [0, *failures]}[expect]


def platform(text: str) -> Any:
    """``linux/arm64/v8`` as a protobuf message (OCI image spec, "platform")."""
    parts = text.split("/")
    if len(parts) not in (2, 3):
        raise BadRequest(f"platform {text!r}: want os/architecture, such as linux/amd64")
    return pb.Platform(OS=parts[0], Architecture=parts[1], Variant="/".join(parts[2:]))
