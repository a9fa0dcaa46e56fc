"""A container as a value: its filesystem, its image configuration, what later steps are given.

Everything here is pure; ``steps.py`` makes LLB of it, ``evaluate.py`` fills it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ci.engine.buildkit.llb import Tree


class BadRequest(Exception):
    """The call cannot be carried out as asked; the message is for the client."""


@dataclass(frozen=True)
class Mount:
    """Something mounted at ``path``: a directory, a cache or a secret."""

    path: str
    tree: Tree | None = None
    read_only: bool = False
    cache: tuple[str, str] | None = None
    secret: tuple[str, int] | None = None


@dataclass(frozen=True)
class Container:
    """A filesystem, an image configuration, and what later steps are given.

    ``config`` is the ``config`` object of the OCI image specification (Env, Entrypoint, …).
    """

    platform: str
    root: Tree = field(default_factory=Tree)
    config: Mapping[str, Any] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    secret_env: tuple[tuple[str, str], ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    output: Tree | None = None
    """Where the last step left ``stdout``, ``stderr`` and ``exit``."""

    def with_config(self, **changes: Any) -> Container:
        config = {**self.config, **changes}
        return replace(self, config={k: v for k, v in config.items() if v is not None})

    def env(self) -> list[str]:
        return list(self.config.get("Env") or ())

    def variable(self, name: str) -> str | None:
        return next((e.partition("=")[2] for e in self.env() if e.partition("=")[0] == name), None)

    def absolute(self, path: str) -> str:
        workdir = self.config.get("WorkingDir") or "/"
        return posixpath.normpath(posixpath.join("/", workdir, path))

    def tree_at(self, path: str) -> Tree:
        """The directory or file at ``path``, in a mount where one covers it."""
        path = self.absolute(path)
        for mount in reversed(self.mounts):
            if path == mount.path or path.startswith(mount.path.rstrip("/") + "/"):
                if mount.tree is None:
                    kind = "cache" if mount.cache else "secret"
                    raise BadRequest(f"{path}: cannot retrieve path from {kind}")
                return mount.tree.at(posixpath.relpath(path, mount.path))
        return self.root.at(path)


def configured(container: Container, call: str, args: Mapping[str, Any]) -> Container:
    """The calls that change nothing but the configuration of later steps and of the image."""
    match call:
        case "withEnvVariable":
            value = args["value"]
            if args["expand"]:
                known = dict(entry.partition("=")[::2] for entry in container.env())
                value = expand(value, known)
            return _with_env(container, args["name"], value)
        case "withoutEnvVariable":
            return _with_env(container, args["name"], None)
        case "withWorkdir":
            return container.with_config(WorkingDir=container.absolute(args["path"]))
        case "withUser":
            return container.with_config(User=args["name"])
        case "withEntrypoint":
            changed = container.with_config(Entrypoint=list(args["args"]))
            return changed if args["keepDefaultArgs"] else changed.with_config(Cmd=None)
        case "withDefaultArgs":
            return container.with_config(Cmd=list(args["args"]))
        case "withLabel":
            labels = {**(container.config.get("Labels") or {}), args["name"]: args["value"]}
            return container.with_config(Labels=labels)
        case "withSecretVariable":
            others = tuple(item for item in container.secret_env if item[0] != args["name"])
            secret = args["secret"].args["name"]
            return replace(container, secret_env=(*others, (args["name"], secret)))
    raise AssertionError(f"schema.graphql serves Container.{call}, evaluate.py does not")


def expand(value: str, known: Mapping[str, str]) -> str:
    """``$NAME`` and ``${NAME}`` replaced; what is unknown becomes empty (Go's ``os.Expand``)."""
    return re.sub(
        r"\$(?:\{([^}]*)\}|(\w+)|[*#$@!?-])", lambda m: known.get(m[1] or m[2] or "", ""), value
    )


def _with_env(container: Container, name: str, value: str | None) -> Container:
    env = container.env()
    entry = [] if value is None else [f"{name}={value}"]
    for at, old in enumerate(env):
        if old.partition("=")[0] == name:
            return container.with_config(Env=[*env[:at], *entry, *env[at + 1 :]])
    return container.with_config(Env=[*env, *entry])
