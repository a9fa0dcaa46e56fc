"""The images that templates name, looked up in the registry before anything is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ci.deploy import nested
from ci.deploy.desk import together
from ci.deploy.reach import Reach
from ci.errors import InputError
from ci.package.expressions import Unknown
from ci.package.pinning import uris
from ci.package.templates import Template
from ci.registry.client import RegistryError
from ci.registry.reference import InvalidReference, Reference, parse


@dataclass(frozen=True)
class Use:
    """An image that a stack is to run. ``place`` is the function, ``rNested/rFunction``; blank
    for an image that all functions of a template share."""

    stack: str
    place: str
    image: Reference


def uses(stack: str, template: Template, values: Mapping[str, str]) -> list[Use]:
    """The images of a stack and of those nested in it, as far as they are known before the
    deployment."""
    found = []
    for part in nested.parts(template, values):
        for place, value in uris(part.document, part.scope):
            try:
                image = parse(part.scope.text(value))
            except (Unknown, InvalidReference):
                continue
            name = str(place[1]) if place[0] == "Resources" else ""
            found.append(Use(stack, "/".join((*part.within, name)), image))
    return found


async def look_up(reach: Reach, wanted: Sequence[Use]) -> dict[Reference, str | None]:
    """The digest of every image; None where the registry lacks it. Raises RegistryError where a
    registry does not answer.

    A registry of others that does not let us look may have it: there the digest is the one that
    the image is named by, blank for a tag.
    """

    async def ask(image: Reference) -> str | None:
        place = reach.place(image)
        try:
            manifest = await reach.registries.manifest(
                replace(place, tag="", digest=""), place.digest or place.tag
            )
            # The registry may have lost what the manifest names: Lambda would fail on it.
            if config := manifest.document.get("config"):
                await reach.registries.config(place, str(config["digest"]))
        except RegistryError as error:
            if error.status == 404:
                return None
            if error.status in (401, 403) and image.host != reach.images.account_registry:
                return image.digest
            raise
        return manifest.digest

    return await together((each.image for each in wanted), ask)


def missing(
    reach: Reach, wanted: Sequence[Use], digests: Mapping[Reference, str | None], fix: str
) -> list[InputError]:
    """What a stack would run that the registry does not hold, each by both names."""
    problems = []
    for each in wanted:
        if digests[each.image] is None:
            host = reach.place(each.image).host
            what = f"runs {each.image}, which the registry {host} does not hold"
            problems.append(InputError(f"stack {each.stack}: {each.place}", what, fix))
    return problems
