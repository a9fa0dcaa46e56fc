"""Which digest each image that a run builds on is, asked once a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from ci.errors import InputError, InputErrors
from ci.planning.plan import Image
from ci.registry.client import Registries, RegistryError
from ci.registry.reference import Reference


@dataclass
class Bases:
    """``digests`` of the images asked for so far, or in ``faults`` why they are not to be had.

    ``given`` are digests that the user named in place of tags.
    """

    registries: Registries
    layer_repository: str
    given: Mapping[Reference, str] = field(default_factory=dict)
    digests: dict[Reference, str] = field(default_factory=dict)
    faults: dict[Reference, RegistryError] = field(default_factory=dict)

    async def resolve(self, wanted: Iterable[Reference]) -> None:
        """Asks the registries for those of ``wanted`` that nobody asked for yet. Never raises."""
        async with anyio.create_task_group() as group:
            for reference in set(wanted) - self.digests.keys() - self.faults.keys():
                group.start_soon(self._resolve, reference)

    def require(self, images: Sequence[Image]) -> None:
        """Raises when none of ``images`` can be built: InputErrors where the registries say that
        a base is not there or not ours, RegistryError where one says nothing."""
        blocked = [
            [self.faults[pull.reference] for pull in image.pulls if pull.reference in self.faults]
            for image in images
        ]
        if not all(blocked):
            return
        faults = list(dict.fromkeys(fault for of_image in blocked for fault in of_image))
        for fault in faults:
            if fault.status == 0:
                raise fault
        raise InputErrors([InputError(each.where, each.what, each.fix) for each in faults])

    async def _digest(self, reference: Reference) -> str:
        if not (digest := self.given.get(reference)):
            return await self.registries.digest(reference)
        return (await self.registries.manifest(reference, digest)).digest

    async def _resolve(self, reference: Reference) -> None:
        try:
            self.digests[reference] = await self._digest(reference)
        except RegistryError as error:
            what, fix = error.what, error.fix
            if reference in self.given and error.status == 404:
                what = f"the common layer {self.given[reference]} is not there"
                fix = "correct the digest (--layer-digest), or leave it out for the tag's"
            elif reference.repository == self.layer_repository and error.status == 404:
                what = "the common layer's image is not there"
                fix = "push it first (python ci/main.py layer), or name it with --layer-repository"
            self.faults[reference] = RegistryError(str(reference), what, fix, error.status)
