"""The smallest Dagger program that does the work: every function built and pushed, one tag each.

usage: sdk.py SOURCE REGISTRY LAYER TAG JOBS    (`sdk.py --hello` only says hello)
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import dagger
from dagger import dag


async def push(directory: Path, registry: str, layer: str, tag: str) -> None:
    argument = dagger.BuildArg(name="ECR_COMMON_DATALAKE_REPO_URL", value=layer)
    image = dag.host().directory(str(directory)).docker_build(build_args=[argument])
    address = f"{registry}/stg-{directory.name}:{tag}"
    await image.publish(address, forced_compression=dagger.ImageLayerCompression.Gzip)


async def build_and_push(source: str, registry: str, layer: str, tag: str, jobs: str) -> None:
    slots = anyio.CapacityLimiter(int(jobs))

    async def one(directory: Path) -> None:
        async with slots:
            await push(directory, registry, layer, tag)

    async with dagger.connection(dagger.Config(log_output=sys.stderr)):
        begun = anyio.current_time()
        # One first, so that the others find the base's blobs to mount.
        first, *others = sorted(Path(source, "dockerfiles").iterdir())
        await one(first)
        print(f"first pushed {anyio.current_time() - begun:.2f} s after the session began")
        async with anyio.create_task_group() as group:
            for directory in others:
                group.start_soon(one, directory)
        print(f"all pushed {anyio.current_time() - begun:.2f} s after the session began")


async def hello() -> None:
    async with dagger.connection():
        print(await dag.directory().with_new_file("hello", "hello").file("hello").contents())


if __name__ == "__main__":
    if sys.argv[1:] == ["--hello"]:
        anyio.run(hello)
    else:
        source, registry, layer, tag, jobs = sys.argv[1:]
        anyio.run(build_and_push, source, registry, layer, tag, jobs)
