"""Work that several requests want: done once, and stopped when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class _Job:
    task: asyncio.Future[Any]
    waiting: int = 0


class Shared:
    """Results by key. A success is kept for the session, a failure is not: asking again retries."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, _Job] = {}

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work``, which runs at most once at a time for this key.

        When every caller that waits is cancelled, the work is cancelled too.
        """
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job(asyncio.ensure_future(work()))
        job.waiting += 1
        try:
            result: T = await asyncio.shield(job.task)
        except BaseException:
            if job.task.done() and self._jobs.get(key) is job:
                del self._jobs[key]
            raise
        finally:
            job.waiting -= 1
            if not job.waiting and not job.task.done():
                if self._jobs.get(key) is job:
                    del self._jobs[key]
                job.task.cancel()
                # Its process must be gone before the request counts as ended.
                await asyncio.wait([job.task])
        return result
