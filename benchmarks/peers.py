"""The tools that the pipeline is compared with, brought into the home like its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ci import debian
from ci.daemons import locked
from ci.errors import PipelineError
from ci.home import Home

BUILDX_VERSION = "v0.38.2"
BUILDX = "github.com/docker/buildx/cmd/buildx"
# containerd is started by dockerd; libdevmapper is the one library that minimal machines lack.
DOCKER_PACKAGES = ("docker.io", "containerd", "libdevmapper1.02.1")

Say = Callable[[str], None]


class Unavailable(Exception):
    """A contender cannot be measured here; the message says why."""


def buildx(home: Home, environ: Mapping[str, str], say: Say) -> Path:
    """The program of ``docker buildx``, compiled where it is missing. Raises Unavailable."""
    directory = home.root / "peers" / f"buildx-{BUILDX_VERSION}"
    program = directory / "buildx"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        if not program.exists():
            say(f"buildx {BUILDX_VERSION}: compiling (120 MB of source, 1 to 4 minutes, once)")
            (directory / "go.mod").write_text("module peers\n\ngo 1.26.8\n")
            _go(["get", "-tool", f"{BUILDX}@{BUILDX_VERSION}"], directory, environ)
            version = f"-X github.com/docker/buildx/version.Version={BUILDX_VERSION}"
            flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {version}"]
            _go(["build", *flags, "-o", "draft", BUILDX], directory, environ)
            (directory / "draft").replace(program)
    return program


def docker(home: Home, environ: Mapping[str, str], say: Say) -> Path:
    """A directory with Debian's dockerd, docker and containerd, unpacked where it is missing.

    Raises Unavailable.
    """
    directory = home.root / "peers" / "docker"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        if not (directory / "complete").exists():
            say("docker: unpacking Debian's packages (65 MB download, once; nothing is installed)")
            try:
                for package in DOCKER_PACKAGES:
                    debian.unpack(package, directory, environ)
            except PipelineError as error:
                raise Unavailable(str(error)) from error
            (directory / "complete").touch()
    return directory


def _go(arguments: list[str], directory: Path, environ: Mapping[str, str]) -> None:
    own = {**environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    try:
        done = subprocess.run(
            ["go", *arguments], cwd=directory, env=own, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Unavailable("Go, which compiles it, is not on PATH") from None
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise Unavailable(f"`go {arguments[0]}` failed: {last}")
