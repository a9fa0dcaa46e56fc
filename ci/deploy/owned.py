"""What stacks consist of, and what of it outlives their deletion.

Source: AWS CloudFormation Template Reference, "DeletionPolicy attribute".
"""

from __future__ import annotations

from dataclasses import dataclass

from ci.deploy import found
from ci.deploy.desk import Desk
from ci.deploy.found import STACK
from ci.package.places import at

_STAYING = ("Retain", "RetainExceptOnCreate")


@dataclass(frozen=True)
class Piece:
    """A resource. ``place`` is ``rNested/rTable``; ``stays`` says that its stack leaves it."""

    stack: str
    place: str
    kind: str
    physical_id: str
    stays: bool


async def pieces(desk: Desk, stack: str, stack_id: str) -> list[Piece]:
    """What a stack and those nested in it consist of. Of a nested stack that stays as a whole,
    only itself."""
    result: list[Piece] = []
    await _of(desk, stack, stack_id, "", result)
    return result


async def _of(desk: Desk, stack: str, stack_id: str, before: str, result: list[Piece]) -> None:
    resources = await found.resources(desk, stack_id)
    if not resources:
        return  # a stack under review, which has no template either
    document = await found.template(desk, stack_id, processed=True)
    for each in resources:
        if not each.physical_id or each.status in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
            continue
        stays = at(document, ("Resources", each.logical_id, "DeletionPolicy")) in _STAYING
        place = before + each.logical_id
        result.append(Piece(stack, place, each.kind, each.physical_id, stays))
        if each.kind == STACK and not stays:
            await _of(desk, stack, each.physical_id, f"{place}/", result)
