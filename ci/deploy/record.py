"""Tags what the stacks run: ``deployed-<env>``, and what they ran before as ``previous-<env>``.

The repositories' lifecycle rules keep both, and a rollback finds the second. The tags of all
functions move together, once a deployment: so the previous ones are the set that ran before it,
whichever of them it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ci.deploy.desk import together
from ci.deploy.reach import Reach
from ci.deploy.running import Function, functions
from ci.registry.client import RegistryError
from ci.registry.reference import Reference


@dataclass(frozen=True)
class Record:
    """A function's tags as they are after the recording; ``previous`` is blank where there is no
    image before."""

    function: str
    stack: str
    repository: str
    deployed: str
    previous: str

    def as_json(self) -> dict[str, Any]:
        """As the report's schema has it."""
        return {
            "function": self.function,
            "stack": self.stack,
            "repository": self.repository,
            "deployed": self.deployed,
            "previous": self.previous or None,
        }


@dataclass(frozen=True)
class Recording:
    """What was recorded. ``moved`` is False where all was as recorded before."""

    records: tuple[Record, ...]
    moved: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moves:
    """Which digest each repository's tags get; nothing where they stay."""

    deployed: Mapping[str, str]
    previous: Mapping[str, str]


def decide(
    running: Mapping[str, str], deployed: Mapping[str, str], previous: Mapping[str, str]
) -> Moves:
    """The moves of the tags, from what each repository's function runs and what its tags say so
    far; blank where there is none. Pure.

    A function that is new has no image before. Where an earlier one of its name left one, its tag
    is taken to the new image: a rollback is to leave that function alone.
    """
    if all(deployed.get(repository) == digest for repository, digest in running.items()):
        return Moves({}, {})
    before = {
        repository: deployed.get(repository) or digest
        for repository, digest in running.items()
        if deployed.get(repository) or previous.get(repository)
    }
    return Moves(dict(running), before)


def tags(environment: str) -> tuple[str, str]:
    """The tags of what runs, and of what ran before."""
    return f"deployed-{environment}", f"previous-{environment}"


@dataclass(frozen=True)
class Look:
    """What functions run and ran before, and how the tags have to move to say so.

    ``running`` and ``before`` are by the repository's path; a blank ``before`` is no image.
    """

    functions: Sequence[Function]
    running: Mapping[str, Reference]
    before: Mapping[str, str]
    moves: Moves
    notes: tuple[str, ...]


async def look(reach: Reach, found: Sequence[Function]) -> Look:
    """What is to be recorded of functions; nothing is moved. Raises RegistryError."""
    deployed_tag, previous_tag = tags(reach.settings.prefix)
    running, notes = _by_repository(reach, found)
    deployed = await digests(reach, running.values(), deployed_tag)
    previous = await digests(reach, running.values(), previous_tag)
    now = {name: image.digest for name, image in running.items()}
    moves = decide(now, deployed, previous)
    return Look(found, running, {**previous, **moves.previous}, moves, tuple(notes))


async def move(reach: Reach, seen: Look) -> Recording:
    """Moves the tags. Raises RegistryError."""
    deployed_tag, previous_tag = tags(reach.settings.prefix)
    with anyio.CancelScope(shield=True):
        # What ran before first: until the second step begins, a repetition does the same.
        await _tag(reach, seen.running, seen.moves.previous, previous_tag)
        await _tag(reach, seen.running, seen.moves.deployed, deployed_tag)
    records = tuple(
        Record(each.name, each.stack, image.repository, image.digest, seen.before[image.path])
        for each in seen.functions
        if (image := seen.running.get(reach.place(each.image).path))
    )
    return Recording(records, bool(seen.moves.deployed), seen.notes)


async def record(reach: Reach, stacks: Sequence[str]) -> Recording:
    """Records what the functions of ``stacks`` run. Raises PipelineError."""
    return await move(reach, await look(reach, await functions(reach.desk, stacks)))


def told(reach: Reach, recording: Recording) -> list[str]:
    """What the tags mean now, in words."""
    environment = reach.settings.prefix
    count = len(recording.records)
    if recording.moved:
        first = f"{count} images are tagged deployed-{environment}, those before them previous-"
    elif count:
        first = f"what the stacks run is tagged deployed-{environment} already: no tag moves"
    else:
        first = "the stacks run no image of ours: there is nothing to tag"
    return [first, *(f"note: {note}" for note in recording.notes)]


async def digests(reach: Reach, repositories: Iterable[Reference], tag: str) -> dict[str, str]:
    """What a tag means in each repository, by its name; blank where there is none.

    Raises RegistryError.
    """

    async def ask(repository: Reference) -> str:
        try:
            tagged = Reference(repository.host, repository.path, tag=tag)
            return await reach.registries.digest(tagged)
        except RegistryError as error:
            if error.status != 404:
                raise
            return ""

    places = {each.path: Reference(each.host, each.path) for each in repositories}
    found = await together(places.values(), ask)
    return {path: found[place] for path, place in places.items()}


def _by_repository(
    reach: Reach, found: Sequence[Function]
) -> tuple[dict[str, Reference], list[str]]:
    """The image that runs out of each repository of ours, by the repository's path there."""
    ours = (reach.images.account_registry, reach.images.registry.partition("/")[0])
    running: dict[str, Reference] = {}
    notes = []
    for each in sorted(found, key=lambda function: function.name):
        image = reach.place(each.image)
        if each.image.host not in ours:
            notes.append(f"{each.name} runs {each.image}, which is not in our registry: not tagged")
        elif running.setdefault(image.path, image).digest != image.digest:
            notes.append(
                f"{each.name} runs {each.image}, another function {running[image.path].digest} "
                "of the same repository: that one is tagged"
            )
    return running, notes


async def _tag(
    reach: Reach, repositories: Mapping[str, Reference], wanted: Mapping[str, str], tag: str
) -> None:
    async def put(name: str) -> None:
        repository = repositories[name]
        manifest = await reach.registries.manifest(repository, wanted[name])
        await reach.registries.tag(repository, manifest, tag)

    await together(wanted, put)
