"""Why a stack cannot be deployed in the state that it is in, asked before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from ci.deploy import change_sets, events, found, states
from ci.deploy.desk import Desk, together
from ci.errors import InputError


async def hindrances(desk: Desk, names: Sequence[str]) -> list[InputError]:
    """What has to be mended first; nothing for stacks that can be deployed."""
    found_each = await together(names, lambda name: _of(desk, name))
    return [problem for problems in found_each.values() for problem in problems]


async def _of(desk: Desk, name: str) -> list[InputError]:
    there = await found.stack(desk, name)
    if not there:
        return []
    if there.status == states.REVIEW:
        waiting = await change_sets.others(desk, there.id)
        if not waiting:
            return []
        what = f"does not exist yet, and waits for the change set {', '.join(waiting)}"
        fix = (
            "execute that one, or delete it with the empty stack: "
            f"aws cloudformation delete-stack --stack-name {name}"
        )
        return [InputError(f"stack {name}", what, fix)]
    refusal = states.refusal(name, there.status)
    if refusal and states.ended(there.status):
        story = await events.history(desk, there.id, there.status)
        if first := await events.first_failure(desk, story, there.id):
            why = f"{first.logical_id} ({first.kind}): {first.reason}"
            refusal = states.refusal(name, there.status, why)
    return [refusal] if refusal else []
