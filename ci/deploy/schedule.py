"""Work on stacks side by side, each as soon as those before it are done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from ci.deploy.order import Before, ordered


async def run(
    needs: Before, work: Callable[[str], Awaitable[bool]], skip: Callable[[str, str], None]
) -> None:
    """Calls ``work`` for every stack; it tells whether those after it may follow. Where not, they
    are skipped, each with the one that it waited for, and the others go on."""
    done = {name: anyio.Event() for name in needs}
    good: dict[str, bool] = {}

    async def one(name: str) -> None:
        for other in needs[name]:
            await done[other].wait()
        missed = [other for other in needs[name] if not good[other]]
        if missed:
            good[name] = False
            skip(name, missed[0])
        else:
            good[name] = await work(name)
        done[name].set()

    async with anyio.create_task_group() as group:
        for name in ordered(needs):
            group.start_soon(one, name)
