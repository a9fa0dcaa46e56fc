"""Packages the stacks side by side, each through the AWS CLI in the tools container."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.package import artifacts, pinning
from ci.package.outcome import PackagedStack
from ci.package.parameters import shown
from ci.package.pinning import Images, Use
from ci.package.stacks import ROOM, Stack
from ci.registry.client import Registries, RegistryError

if TYPE_CHECKING:
    import dagger

    from ci.package.tools_container import Packaged

LARGEST = 1_000_000
"""Bytes. Source: AWS CloudFormation quotas, template body in an Amazon S3 object: 1 MB."""


@dataclass(frozen=True)
class _Run:
    """What the stacks of a run share."""

    images: Images
    cloud: Cloud
    registries: Registries
    by_digest: bool
    tag: str
    tools: dagger.Container
    slots: anyio.CapacityLimiter
    scratch: Path
    out: Path


async def package(
    stacks: Sequence[Stack],
    images: Images,
    cloud: Cloud,
    registries: Registries,
    out: Path,
    *,
    tag: str,
    by_digest: bool = True,
    ca_bundle: Path | None = None,
    base: str | None = None,
    index: str | None = None,
    jobs: int = 8,
) -> list[PackagedStack]:
    """Packages every stack, ``jobs`` side by side, in the current Dagger session.

    ``tag`` is the image tag that their parameters get; ``by_digest`` pins the run's images to
    their digests. The result is ``out/cfn``, whole or not at all: if a stack fails, the others end
    as they would, and there is no artifact. One outcome per stack, in order. Raises PipelineError
    where ``out`` cannot be written or the tools container cannot be made.
    """
    from ci.package import tools_container

    results: dict[str, PackagedStack] = {}
    result = out / ROOM
    fresh = out / f".{ROOM}"
    tools = tools_container.container(base or tools_container.BASE, ca_bundle, index)
    if stacks:
        await tools_container.ready(tools)
    try:
        out.mkdir(parents=True, exist_ok=True)
        discard(out)
        shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
        with tempfile.TemporaryDirectory(prefix="package-") as scratch:
            run = _Run(
                images, cloud, registries, by_digest, tag, tools_container.inside(tools, cloud),
                anyio.CapacityLimiter(jobs), Path(scratch), fresh,
            )  # fmt: skip
            if stacks:
                await anyio.to_thread.run_sync(_copy, stacks[0].directory.parent, fresh)
            async with anyio.create_task_group() as group:
                for stack in stacks:
                    group.start_soon(_one, stack, run, results)
        ended = [results[stack.name] for stack in stacks]
        if stacks and not any(each.error for each in ended):
            fresh.rename(result)
    except OSError as error:
        fix = "free space or make it writable, or name another with --report"
        raise PipelineError(str(out), f"cannot take the artifact: {error}", fix) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return [
        replace(
            each,
            template=result / each.directory / each.template.name,
            parameters=result / each.directory / each.parameters.name,
        )
        for each in ended
    ]


def discard(out: Path) -> None:
    """Removes the artifact of a run before: from now on it is none of this one's."""
    shutil.rmtree(out / ROOM, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """The directory of the stacks, less what Python leaves in it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


async def _one(stack: Stack, run: _Run, results: dict[str, PackagedStack]) -> None:
    """One stack. What goes wrong with it is in its result: it never takes the others along."""
    import dagger

    from ci.building.engine_errors import explained
    from ci.package import tools_container

    began = anyio.current_time()
    declared = stack.template.declared
    stack = replace(stack, parameters=stack.parameters.tagged(declared, run.tag))
    target = run.out / stack.directory.name
    template, parameters = target / "packaged-template.yaml", target / stack.parameters.path.name
    values = shown(declared, stack.parameters.values)
    ended = PackagedStack(stack.name, stack.directory.name, template, parameters, values)
    try:
        pseudo = run.cloud.pseudo_parameters(stack.name)
        pinned = pinning.pinned(stack, run.images, pseudo, by_digest=run.by_digest)
        ended = replace(ended, images=pinned.uses, notes=pinned.notes)
        await _require_images(stack, pinned.uses, run)
        staged = run.scratch / stack.directory.name
        staged.mkdir()
        await anyio.to_thread.run_sync(artifacts.stage, pinned.template, staged)
        async with run.slots:
            packaged = await tools_container.package(
                run.tools, staged, run.cloud.bucket, str(stack.directory)
            )
        _write(packaged, template, parameters, stack)
        ended = replace(ended, uploaded=packaged.uploaded)
    except PipelineError as error:
        ended = replace(ended, error=error)
    except dagger.DaggerError as error:
        ended = replace(ended, error=explained(error, str(stack.directory)))
    except OSError as error:
        fix = "mend what it names, and run again"
        ended = replace(ended, error=PipelineError(str(stack.directory), str(error), fix))
    results[stack.name] = replace(ended, seconds=anyio.current_time() - began)


def _write(packaged: Packaged, template: Path, parameters: Path, stack: Stack) -> None:
    size = len(packaged.text.encode())
    if size > LARGEST:
        raise PipelineError(
            str(stack.template.path), f"has {size} bytes packaged; CloudFormation takes {LARGEST}",
            "split it into nested stacks, or move what is inline into files",
        )  # fmt: skip
    template.write_text(packaged.text, encoding="utf-8")
    parameters.write_bytes(stack.parameters.text.encode())


async def _require_images(stack: Stack, uses: Sequence[Use], run: _Run) -> None:
    """Raises PipelineError for an image that the run did not push and its registry lacks."""
    for use in uses:
        if use.made:
            continue
        place = run.images.place(use.reference)
        repository = replace(place, tag="", digest="")
        try:
            await run.registries.manifest(repository, place.digest or place.tag)
        except RegistryError as error:
            if error.status != 404:
                raise
            what = (
                f"stack {stack.name} runs {use.uri}, which this run did not build and the "
                f"registry {place.host} does not hold"
            )
            fix = (
                f"build {use.function} in the same run (without --only), or correct the tag"
                if use.function
                else f"add dockerfiles/<function> for it, or correct it: this run built "
                f"{', '.join(run.images.built) or 'no function'}"
            )
            raise PipelineError(use.where, what, fix) from error
