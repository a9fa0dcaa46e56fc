"""The environments of all functions: scaled out where it helps, replaced, and ended when idle."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import CancelScope

from ci.local.lambdas.environment import Environment, Surroundings
from ci.local.lambdas.functions import Function
from ci.local.lambdas.runtime_api import Result


@dataclass(frozen=True)
class Limits:
    """How many environments there may be, of a function and in all, and when they come and go.

    Lambda begins another one at once when all are busy. Here a start costs a second of one of few
    processors, and most invocations some milliseconds: so another one begins where an invocation
    has waited for ``patience`` seconds, and no more than ``starting`` at the same time. ``idle``
    ones end after so many seconds.
    """

    of_function: int = 4
    of_all: int = 24
    starting: int = 4
    patience: float = 1.5
    idle: float = 300.0


class TooLate(Exception):
    """An invocation found an environment only after its time was over."""


@dataclass
class _Pool:
    """The environments of one function. ``function`` is how it is configured now."""

    function: Function
    size: int = 0
    idle: list[tuple[float, Environment]] = field(default_factory=list)
    waiting: deque[asyncio.Future[Environment | None]] = field(default_factory=deque)


class Fleet:
    """Invokes functions. Made by ``fleet``."""

    def __init__(self, surroundings: Surroundings, limits: Limits) -> None:
        self._around, self._limits = surroundings, limits
        self._starting = asyncio.Semaphore(limits.starting)
        self._pools: dict[str, _Pool] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def invoke(
        self,
        function: Function,
        event: bytes,
        request_id: str = "",
        *,
        until: float | None = None,
    ) -> Result:
        """Run a function on a JSON text, in an environment that is configured like it.

        What goes wrong in the function is in the result. Raises TooLate where it would begin only
        after ``until`` (on time.monotonic's clock).
        """
        environment = await self._acquire(function)
        if until is not None and time.monotonic() > until:
            self._release(environment)
            raise TooLate
        try:
            return await environment.invoke(event, request_id or str(uuid.uuid4()))
        except BaseException:
            environment.broken = True
            raise
        finally:
            self._release(environment)

    async def _acquire(self, function: Function) -> Environment:
        pool = self._pools.setdefault(function.name, _Pool(function))
        if pool.function != function:  # deployed, or rolled back
            pool.function = function
            for _, environment in pool.idle:
                self._retire(pool, environment)
            pool.idle.clear()
        if not pool.waiting:
            if pool.idle:
                return pool.idle.pop()[1]
            if pool.size == 0 and self._room():
                return self._begin(pool, function)
        turn: asyncio.Future[Environment | None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(turn)
        try:
            return await self._wait(pool, function, turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (given := turn.result()):
                self._release(given)
            raise
        finally:
            if turn in pool.waiting:
                pool.waiting.remove(turn)

    async def _wait(
        self, pool: _Pool, function: Function, turn: asyncio.Future[Environment | None]
    ) -> Environment:
        while True:
            await asyncio.wait([turn], timeout=self._limits.patience)
            if turn.done():
                if environment := turn.result():
                    if environment.function == function:
                        return environment
                    self._retire(pool, environment)
                return self._begin(pool, function)
            if pool.size < self._limits.of_function and self._room():
                pool.waiting.remove(turn)
                return self._begin(pool, function)

    def _begin(self, pool: _Pool, function: Function) -> Environment:
        pool.size += 1
        return Environment(function, self._around, self._starting)

    def _release(self, environment: Environment) -> None:
        pool = self._pools[environment.function.name]
        stale = environment.broken or environment.function != pool.function
        if stale:
            self._retire(pool, environment)
        while pool.waiting:
            turn = pool.waiting.popleft()
            if not turn.done():
                turn.set_result(None if stale else environment)
                return
        if not stale:
            pool.idle.append((time.monotonic(), environment))

    def _retire(self, pool: _Pool, environment: Environment) -> None:
        pool.size -= 1
        task = asyncio.create_task(environment.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _room(self) -> bool:
        """Whether another environment may begin, in the place of the longest idle one at worst."""
        if sum(pool.size for pool in self._pools.values()) < self._limits.of_all:
            return True
        idle = [(since, pool) for pool in self._pools.values() for since, _ in pool.idle]
        if not idle:
            return False
        _, pool = min(idle, key=lambda pair: pair[0])
        self._retire(pool, pool.idle.pop(0)[1])
        return True

    async def tidy(self) -> None:
        """Ends environments that have been idle for long, for as long as it runs."""
        while True:
            await asyncio.sleep(min(self._limits.idle, 5.0))
            for pool in self._pools.values():
                while pool.idle and time.monotonic() - pool.idle[0][0] > self._limits.idle:
                    self._retire(pool, pool.idle.pop(0)[1])

    async def close(self) -> None:
        """End all environments that nobody uses."""
        for pool in self._pools.values():
            for _, environment in pool.idle:
                self._retire(pool, environment)
            pool.idle.clear()
        if self._ending:
            await asyncio.gather(*self._ending)


@asynccontextmanager
async def running(surroundings: Surroundings, limits: Limits | None = None) -> AsyncIterator[Fleet]:
    """A fleet in the current Dagger session; with the context all its containers end."""
    fleet = Fleet(surroundings, limits or Limits())
    tidying = asyncio.create_task(fleet.tidy())
    try:
        yield fleet
    finally:
        tidying.cancel()
        with CancelScope(shield=True):
            await fleet.close()
