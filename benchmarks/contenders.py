"""Who is measured: each is a whole program that builds and pushes every function of the lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tree
from benchmarks.engines import BuildKit, DaggerEngine, Docker, Engine
from benchmarks.lab import IMAGE_OUTPUT, Lab
from benchmarks.peers import BUILDX_VERSION, Say, buildx
from benchmarks.processes import Command, environment
from ci.local import standin

HERE = Path(__file__).resolve().parent
JOBS = 20


@dataclass(frozen=True)
class Build:
    """What a CI system would say of a run: its number and the commit it is of."""

    number: int

    @property
    def commit(self) -> str:
        return f"{self.number:040x}"[::-1]

    @property
    def tags(self) -> tuple[str, ...]:
        return ("latest", f"build-{self.number}", self.commit[:7])


@dataclass(frozen=True)
class Contender:
    """``reference`` is the contender that its figures are compared with: one that pushes the same
    tags. ``command`` is made for every run anew."""

    name: str
    engine: Engine
    reference: str
    tags: Callable[[Build], tuple[str, ...]]
    command: Callable[[Build], Command]
    install: Callable[[], str] = lambda: ""
    """Brings what it needs beside its engine; its name and version. Raises Unavailable."""


def everybody(lab: Lab, say: Say, *, may_prune: bool) -> list[Contender]:
    """All contenders, the references first."""
    buildkit, docker = BuildKit(lab), Docker(lab, say)
    dagger = DaggerEngine(lab, may_prune=may_prune)

    def three(build: Build) -> tuple[str, ...]:
        return build.tags

    def one(build: Build) -> tuple[str, ...]:
        return build.tags[1:2]

    def floor(build: Build) -> Command:
        return _floor(lab, three(build))

    def floor_one_tag(build: Build) -> Command:
        return _floor(lab, one(build))

    def script(build: Build) -> Command:
        return _script(lab, docker, three(build))

    def install_buildx() -> str:
        buildx(lab.tools, environment(os.environ), say)
        return f"buildx {BUILDX_VERSION.lstrip('v')}"

    return [
        Contender("floor", buildkit, "floor", three, floor),
        Contender("floor-one-tag", buildkit, "floor-one-tag", one, floor_one_tag),
        Contender(
            "sdk-embedded", buildkit, "floor-one-tag", one,
            lambda build: _sdk(lab, str(lab.cli), one(build)),
        ),
        Contender(
            "pipeline-embedded", buildkit, "floor", three,
            lambda build: pipeline(lab, "embedded", build),
        ),
        Contender(
            "sdk-dagger", dagger, "floor-one-tag", one,
            lambda build: _sdk(lab, dagger.program, one(build)),
        ),
        Contender(
            "pipeline-dagger", dagger, "floor", three,
            lambda build: pipeline(lab, "dagger", build),
        ),
        Contender("script", docker, "floor", three, script),
        Contender(
            "bake", buildkit, "floor", three,
            lambda build: _bake(lab, three(build)), install_buildx,
        ),
    ]  # fmt: skip


def _shell(lab: Lab, tags: tuple[str, ...]) -> dict[str, str]:
    return {
        "SOURCE": str(lab.source),
        "REGISTRY": lab.registry,
        "LAYER": lab.layer,
        "TAGS": " ".join(tags),
        "JOBS": str(JOBS),
    }


def _floor(lab: Lab, tags: tuple[str, ...]) -> Command:
    environ = {
        "BUILDCTL": str(lab.home.bin / "buildctl"),
        "BUILDKIT_HOST": lab.engine_address,
        "IMAGE_OUTPUT": IMAGE_OUTPUT,
    }
    return Command(["bash", str(HERE / "floor.sh")], _shell(lab, tags) | environ)


def _script(lab: Lab, docker: Docker, tags: tuple[str, ...]) -> Command:
    environ = {"UPSTREAM": lab.upstream, "BASE": tree.BASE}
    return Command(["bash", str(HERE / "script.sh")], _shell(lab, tags) | docker.environ | environ)


def _sdk(lab: Lab, cli: str, tags: tuple[str, ...]) -> Command:
    arguments = [str(lab.source), lab.registry, lab.layer, *tags, str(JOBS)]
    environ = {"PIPELINE_HOME": str(lab.home.root), "_EXPERIMENTAL_DAGGER_CLI_BIN": cli}
    return Command([sys.executable, str(HERE / "sdk.py"), *arguments], environ)


def pipeline(lab: Lab, engine: str, build: Build) -> Command:
    options = {
        "source": lab.source,
        "layer": lab.source / "common_layer",
        "registry": lab.registry,
        "engine": engine,
        "mirror": f"{standin.UPSTREAM}={lab.upstream}",
        "jobs": JOBS,
        "build-id": build.number,
        "commit": build.commit,
        "report": lab.root / "out",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, str(HERE.parent / "ci" / "main.py"), "app", *arguments]
    return Command(command, {"PIPELINE_HOME": str(lab.home.root)})


def _bake(lab: Lab, tags: tuple[str, ...]) -> Command:
    """One ``bake`` of all functions, as people write it: it pushes all of them at once."""
    program = str(buildx(lab.tools, environment(os.environ), print))
    targets = {
        name: {
            "context": str(lab.source / "dockerfiles" / name),
            "args": {"ECR_COMMON_DATALAKE_REPO_URL": lab.layer},
            "tags": [f"{lab.registry}/stg-{name}:{tag}" for tag in tags],
            "output": [f"type=image,{IMAGE_OUTPUT}"],
        }
        for name in lab.functions
    }
    document = {"group": {"default": {"targets": list(targets)}}, "target": targets}
    file = lab.root / "docker-bake.json"
    file.write_text(json.dumps(document))
    environ = {"BUILDX_CONFIG": str(lab.root / "buildx")}
    if not (lab.root / "buildx").exists():
        create = ["create", "--name=lab", "--driver=remote", lab.engine_address]
        subprocess.run(
            [program, *create],
            env=environment(os.environ) | environ,
            check=True,
            capture_output=True,
        )
    command = [program, "--builder=lab", "bake", "--progress=plain", f"--file={file}"]
    # With attestations the result would be an index, which Lambda refuses.
    command += ["--provenance=false", "--sbom=false", "--allow=fs.read=*"]
    return Command(command, environ)
