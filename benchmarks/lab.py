"""A place to measure in: a home, an engine and registries that nobody else uses, gone afterwards.

Two registries, as in the cloud: ``upstream`` stands for the public one and holds the base image,
``registry`` stands for the account's own and holds the common layer. A base blob can therefore be
mounted from a sibling, and never from where it was pulled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tree
from benchmarks.processes import environment
from ci.engine.buildkit import daemon
from ci.engine.buildkit.daemon_config import DaemonConfig, Paths
from ci.errors import PipelineError
from ci.home import Home
from ci.local import registry, standin

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.manifest.v1", "docker.distribution.manifest.v2")
)
# The images are the same for all who build them with BuildKit: what the pipeline publishes.
IMAGE_OUTPUT = "push=true,oci-mediatypes=true,compression=gzip,force-compression=true"


class WrongResult(Exception):
    """A run that said it succeeded did not leave what it should in the registry."""


@dataclass(frozen=True)
class Lab:
    """``tools`` is the user's home, where set-up installed the programs. ``registry`` and
    ``upstream`` are ``127.0.0.1:PORT``."""

    root: Path
    tools: Home
    home: Home
    source: Path
    functions: tuple[str, ...]
    registry: str
    upstream: str

    @property
    def layer(self) -> str:
        """The common layer's repository."""
        return f"{self.registry}/{tree.LAYER_IMAGE}"

    @property
    def engine_address(self) -> str:
        return f"unix://{Paths.of(self.home.engine).socket}"

    @property
    def cli(self) -> Path:
        """A program that answers as the ``dagger`` CLI does: the embedded engine's."""
        return self.root / "dagger-embedded"

    def start_engine(self) -> None:
        """Starts BuildKit's daemon where it does not run."""
        mirrors = ((standin.UPSTREAM, self.upstream),)
        daemon.ensure(self.home, environment(os.environ), DaemonConfig(mirrors=mirrors))

    def stop_engine(self) -> None:
        daemon.stop(self.home, force=True)

    def empty_engine(self) -> None:
        """The engine running, its cache empty."""
        self.stop_engine()
        shutil.rmtree(Paths.of(self.home.engine).root, ignore_errors=True)
        self.start_engine()

    def empty_registry(self) -> None:
        """The registry as it is before the first push: it holds the common layer."""
        blobs = self.home.local / "registry" / "blobs"
        port = int(self.registry.rpartition(":")[2])
        registry.stop(self.home)
        shutil.rmtree(blobs)
        shutil.copytree(self.root / "layer-only", blobs)
        started = registry.ensure(self.home, environment(os.environ), port).host
        if started != self.registry:
            raise PipelineError(self.registry, "was taken by another program", "run again")

    def digests(self, tags: Sequence[str]) -> dict[str, str]:
        """The digest of every function's image. Raises WrongResult where a tag is missing, or the
        tags of an image differ."""
        found = {}
        for name in self.functions:
            all_tags = {tag: digest(self.registry, f"stg-{name}", tag) for tag in tags}
            if len(set(all_tags.values())) != 1 or None in all_tags.values():
                raise WrongResult(f"stg-{name} has these tags in the registry: {all_tags}")
            found[name] = all_tags[tags[0]] or ""
        return found


@contextlib.contextmanager
def opened(tools: Home, functions: int, upstream: str = "") -> Iterator[Lab]:
    """A lab with a source tree, the base image upstream and the common layer in the registry.

    ``upstream`` is a registry of this machine that holds the base image already; blank for one of
    the lab's own.
    Raises PipelineError where ``make setup`` has not been run, or an engine does not start.
    """
    with contextlib.ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="benchmark-"))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        home, environ = _home(root / "home", tools), environment(os.environ)
        own_upstream = None if upstream else _home(root / "upstream", tools)
        if own_upstream:
            stack.callback(registry.stop, own_upstream)
            upstream = registry.ensure(own_upstream, environ).host
        elif not digest(upstream, standin.REPOSITORY, standin.TAG):
            fix = "name a registry that serves it, or none"
            raise PipelineError(upstream, f"does not hold {tree.BASE}", fix)
        stack.callback(registry.stop, home)
        own = registry.ensure(home, environ).host
        source = tree.write(root / "source", functions)
        lab = Lab(root, tools, home, source, tuple(tree.names(functions)), own, upstream)
        stack.callback(daemon.stop, home, force=True)
        lab.start_engine()
        if own_upstream:
            asyncio.run(_publish_base(lab))
        _publish_layer(lab)
        registry.stop(home)
        shutil.copytree(home.local / "registry" / "blobs", root / "layer-only")
        _write_cli(lab)
        yield lab


def digest(host: str, repository: str, tag: str) -> str | None:
    """What the registry holds under a tag; None for nothing."""
    if body := _manifest(host, repository, tag):
        return f"sha256:{hashlib.sha256(body).hexdigest()}"
    return None


def compressed_megabytes(host: str, repository: str, tag: str) -> float:
    """Size of an image's layers as they travel."""
    body = _manifest(host, repository, tag)
    layers = json.loads(body)["layers"] if body else []
    return sum(int(layer["size"]) for layer in layers) / 1e6


def _manifest(host: str, repository: str, tag: str) -> bytes | None:
    connection = http.client.HTTPConnection(host, timeout=30)
    with contextlib.closing(connection):
        path = f"/v2/{repository}/manifests/{tag}"
        connection.request("GET", path, headers={"Accept": MANIFESTS})
        response = connection.getresponse()
        body = response.read()
        return body if response.status == http.client.OK else None


def _home(root: Path, tools: Home) -> Home:
    """A home with the installed programs of another, and a state of its own."""
    home = Home(root)
    home.local.mkdir(parents=True)
    for shared in ("bin", "python", "local/stand-in"):
        (root / shared).symlink_to(tools.root / shared)
    return home


async def _publish_base(lab: Lab) -> None:
    import dagger

    from ci.engine.session import open_session

    environ = environment(os.environ)
    async with open_session("embedded", lab.home, environ), dagger.connection():
        await standin.publish(lab.home, registry.Registry(lab.upstream))


def _publish_layer(lab: Lab) -> None:
    context = lab.source / "common_layer"
    command = [
        *(str(lab.home.bin / "buildctl"), "--addr", lab.engine_address, "build"),
        *("--frontend", "dockerfile.v0"),
        *("--local", f"context={context}", "--local", f"dockerfile={context}"),
        *("--output", f"type=image,name={lab.layer}:latest,{IMAGE_OUTPUT}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError("common layer", f"cannot be built:\n{done.stderr}", "see above")


def _write_cli(lab: Lab) -> None:
    project = Path(__file__).resolve().parent.parent
    lab.cli.write_text(
        f'#!/bin/sh\nPYTHONPATH="{project}" exec "{sys.executable}" -m ci.engine.cli "$@"\n'
    )
    lab.cli.chmod(0o755)
