"""The build as a DAG: small functions from container to container, awaited by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagger
from dagger import dag

from ci.planning.dockerfile import pinned
from ci.planning.plan import Image
from ci.registry.credentials import Login
from ci.registry.reference import Reference


def context(image: Image, digests: Mapping[Reference, str]) -> dagger.Directory:
    """The image's directory, less what ``.dockerignore`` names, with its FROMs nailed down.

    What is left out is never sent to the engine; the checkout is never written to.
    """
    directory = dag.host().directory(str(image.directory.absolute()), exclude=list(image.exclude))
    text = pinned(image.text, digests, image.pulls)
    if text == image.text and not image.exclude:
        return directory
    return directory.with_new_file(image.dockerfile, text)


def built(image: Image, digests: Mapping[Reference, str]) -> dagger.Container:
    """The image, as ``docker build`` would make it."""
    arguments = [dagger.BuildArg(name=name, value=value) for name, value in image.build_args]
    return context(image, digests).docker_build(dockerfile=image.dockerfile, build_args=arguments)


def logged_in(container: dagger.Container, logins: Iterable[Login]) -> dagger.Container:
    """The same container, in a session that may use ``logins``; passwords travel as secrets."""
    for login in logins:
        secret = dag.set_secret(f"registry-{login.host}", login.password)
        container = container.with_registry_auth(login.host, login.user, secret)
    return container


async def pushed(container: dagger.Container, address: str) -> str:
    """Pushes one manifest with gzip layers, all that Lambda takes; its digest."""
    reference = await container.publish(
        address, forced_compression=dagger.ImageLayerCompression.Gzip
    )
    return reference.rpartition("@")[2]


async def synced(container: dagger.Container) -> None:
    """Builds, and leaves the result in the engine's cache."""
    await container.sync()
