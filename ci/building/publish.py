"""One push per image, judged before it gets a name that anybody uses, then its tags.

The push goes to the tag ``pushed``, which means just that: the image that a run pushed last. The
build tag and the commit are put on an image together, once it is known that Lambda takes it;
``latest`` is put on all of them, once all of them are there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import anyio

from ci.building.engine_errors import ImageError
from ci.registry.client import INDEXES, MANIFESTS, Manifest, Registries, RegistryError
from ci.registry.reference import Reference
from ci.registry.retry import Policy, TransientError, reads_as_transient, retrying
from ci.values import tell_bytes

PUSHED = "pushed"
PUSHES = Policy(attempts=4, first=0.5)
"""BuildKit, under both engines, repeats each request of a push a few times itself."""
LARGEST = 10 * 10**9
"""Bytes. Source: AWS Lambda quotas, "Container image code package size"."""
_ARCHITECTURES = {"amd64", "arm64"}


async def push(
    publish: Callable[[], Awaitable[str]], policy: Policy, say: Callable[[str], None]
) -> str:
    """The digest that ``publish`` returns, asked again after transient failures of the registry.

    Raises what the SDK raises otherwise.
    """
    import dagger

    async def attempt() -> str:
        try:
            return await publish()
        except dagger.ExecError:
            raise
        except dagger.QueryError as error:
            if reads_as_transient(str(error)):
                raise TransientError(str(error).strip().splitlines()[-1]) from error
            raise

    try:
        return await retrying(attempt, policy=policy, say=say)
    except TransientError as error:
        raise error.__cause__ or error from None


async def checked(
    registries: Registries, repository: Reference, digest: str, *, name: str, runs: bool
) -> Manifest:
    """The manifest that was pushed. Raises ImageError when Lambda would refuse it.

    ``runs`` is False for the layer, which no function runs by itself.
    """
    manifest = await registries.manifest(repository, digest)
    config: Mapping[str, Any] = {}
    if manifest.media_type in MANIFESTS:
        config = await registries.config(repository, manifest.document["config"]["digest"])
    if refused := refused_by_lambda(manifest, config, runs=runs):
        raise ImageError(name, "Unacceptable", f"Lambda would refuse it: {refused[0]}", refused[1])
    return manifest


def refused_by_lambda(
    manifest: Manifest, config: Mapping[str, Any], *, runs: bool
) -> tuple[str, str] | None:
    """Why Lambda does not take an image, and what to do; None when it does.

    Source: AWS Lambda Developer Guide, "Create a Lambda function using a container image",
    requirements for container images.
    """
    if manifest.media_type in INDEXES:
        return "an index of several images, where it takes one", "build for one platform"
    if manifest.media_type not in MANIFESTS:
        return f"a manifest of the type {manifest.media_type!r}", "push an OCI or Docker image"
    layers = manifest.document.get("layers", [])
    for layer in layers:
        if not layer["mediaType"].endswith("gzip"):
            return f"a layer of the type {layer['mediaType']!r}", "push layers compressed by gzip"
    if (size := sum(layer["size"] for layer in layers)) >= LARGEST:
        return f"{tell_bytes(size)} compressed, over 10 GB", "leave out what it does not need"
    if config.get("os") != "linux" or config.get("architecture") not in _ARCHITECTURES:
        found = f"{config.get('os')}/{config.get('architecture')}"
        return f"built for {found}", "build for linux/amd64 or linux/arm64"
    started = config.get("config") or {}
    if runs and not (started.get("Entrypoint") or started.get("Cmd")):
        return "neither entry point nor command", 'end the Dockerfile with CMD ["module.handler"]'
    return None


async def tag(
    registries: Registries, repository: Reference, manifest: Manifest, tags: Iterable[str]
) -> None:
    """Puts ``manifest`` under ``tags``, in order. Raises RegistryError."""
    for name in tags:
        await registries.tag(repository, manifest, name)


async def tag_all(
    registries: Registries,
    images: Mapping[str, tuple[Reference, Manifest]],
    name: str,
    slots: anyio.CapacityLimiter,
) -> dict[str, RegistryError]:
    """Puts the tag ``name`` on every image; who was refused it, and why."""
    refused: dict[str, RegistryError] = {}

    async def one(image: str, repository: Reference, manifest: Manifest) -> None:
        async with slots:
            try:
                await registries.tag(repository, manifest, name)
            except RegistryError as error:
                refused[image] = error

    async with anyio.create_task_group() as group:
        for image, (repository, manifest) in images.items():
            group.start_soon(one, image, repository, manifest)
    return refused
