"""Runs asynchronous work so that Ctrl-C, or a CI system that aborts the job, ends it in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable

import anyio

GRACE = 4.5
"""Seconds that the work has to clean up after itself, before the process simply ends."""


class Interrupted(Exception):
    """SIGINT or SIGTERM ended the work."""


def running(work: Callable[[], Awaitable[None]]) -> None:
    """Runs ``work`` to its end. Raises what it raises, outside of any exception group, and
    Interrupted after a signal, once the work has cleaned up. A second signal ends the process."""
    caught = False
    last_resort = threading.Timer(GRACE, os._exit, (130,))
    last_resort.daemon = True

    async def watched() -> None:
        async with anyio.create_task_group() as group:
            # Outside of what it cancels: it still listens while the work cleans up.
            with anyio.CancelScope() as of_work:
                await group.start(_watch, of_work, interrupted)
                await work()
            group.cancel_scope.cancel()

    def interrupted() -> None:
        nonlocal caught
        if caught:
            os._exit(130)
        caught = True
        last_resort.start()

    try:
        anyio.run(watched)
    except BaseExceptionGroup as group:
        raise only(group) from group
    finally:
        last_resort.cancel()
    if caught:
        raise Interrupted


async def _watch(
    scope: anyio.CancelScope,
    interrupted: Callable[[], None],
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            interrupted()
            scope.cancel()


def only(error: BaseException) -> BaseException:
    """The first error that is no group: tasks that ran side by side wrap theirs."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
