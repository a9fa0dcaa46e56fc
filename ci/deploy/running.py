"""The functions that stacks run, and the image of each.

Sources: AWS Lambda API Reference, GetFunction (``Code.ResolvedImageUri`` names the digest that a
tag meant when the function was deployed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ci.deploy import found
from ci.deploy.desk import Desk, together
from ci.deploy.found import STACK, Resource
from ci.registry.reference import InvalidReference, Reference, parse

FUNCTION = "AWS::Lambda::Function"


@dataclass(frozen=True)
class Function:
    """A function that a stack runs from an image. ``image`` names repository and digest, as the
    account calls them; ``within`` are the logical ids of the nested stacks that it lies in."""

    stack: str
    logical_id: str
    name: str
    image: Reference
    within: tuple[str, ...] = ()


async def functions(desk: Desk, stacks: Sequence[str]) -> list[Function]:
    """The functions of stacks, those of nested stacks too; of stacks that there are."""
    places: list[tuple[str, tuple[str, ...], Resource]] = []
    for stack in stacks:
        await _of(desk, stack, stack, (), places)
    names = [each.physical_id for _, _, each in places]
    images = await together(names, lambda name: image_of(desk, name))
    return [
        Function(stack, each.logical_id, each.physical_id, image, within)
        for stack, within, each in places
        if (image := images[each.physical_id])
    ]


async def _of(
    desk: Desk,
    stack: str,
    stack_id: str,
    within: tuple[str, ...],
    places: list[tuple[str, tuple[str, ...], Resource]],
) -> None:
    for each in await found.resources(desk, stack_id):
        if not each.physical_id or each.status == "DELETE_COMPLETE":
            continue
        if each.kind == STACK:
            await _of(desk, stack, each.physical_id, (*within, each.logical_id), places)
        elif each.kind == FUNCTION:
            places.append((stack, within, each))


async def image_of(desk: Desk, function: str) -> Reference | None:
    """The image that a function runs; None for one made of a zip, or that is not there."""

    def asked(client: Any) -> dict[str, Any]:
        try:
            return dict(client.get_function(FunctionName=function))
        except client.exceptions.ResourceNotFoundException:
            return {}

    answer = await desk.ask("lambda", "lambda:GetFunction", asked)
    code = answer.get("Code") or {}
    for text in (code.get("ResolvedImageUri"), code.get("ImageUri")):
        try:
            if text and (image := parse(text)).digest:
                return Reference(image.host, image.path, digest=image.digest)
        except InvalidReference:
            continue
    return None
