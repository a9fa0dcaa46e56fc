"""How a deployment asks a cloud: boto3 in threads, one client a service.

A stack operation takes minutes, others go on beside it, and Ctrl-C must not wait for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from ci import aws
from ci.cloud import Cloud
from ci.interrupts import only

T = TypeVar("T")
K = TypeVar("K")

_SERVICES = {"cloudformation": "CloudFormation", "lambda": "Lambda", "s3": "Amazon S3",
             "ecr": "Amazon ECR", "dynamodb": "DynamoDB", "kms": "KMS"}  # fmt: skip

_ASKED_AT_ONCE = 8
"""boto3 keeps 10 connections a client; CloudFormation throttles by account and region."""


@dataclass
class Desk:
    """A cloud at which questions are asked side by side. ``say`` is told how work goes,
    ``longest`` are the seconds that one operation may take.
    """

    cloud: Cloud
    say: Callable[[str], None]
    longest: float
    _clients: dict[str, Any] = field(default_factory=dict)
    _slots: anyio.CapacityLimiter | None = None

    async def ask(self, service: str, action: str, question: Callable[[Any], T]) -> T:
        """The answer to ``question(client)``. ``action`` is the IAM action that it needs.

        Raises what ``aws.explained`` does. When it is cancelled, the call goes on by itself, and
        nobody hears its answer.
        """
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(_ASKED_AT_ONCE)
        async with self._slots:
            if service not in self._clients:
                self._clients[service] = self.cloud.client(service)
            client = self._clients[service]

            def asked() -> T:
                with aws.explained(_SERVICES.get(service, service), action):
                    return question(client)

            return await in_thread(asked)

    async def pause(self, looks: int) -> None:
        """Waits between two looks at something that takes time, the longer the more there were:
        what is quick is seen soon, what is slow costs few questions."""
        first, longest = (1.0, 5.0) if self.cloud.port is None else (0.1, 0.5)
        await anyio.sleep(min(longest, first * 1.2**looks))

    async def stacks(self, action: str, question: Callable[[Any], T]) -> T:
        """A question to CloudFormation; ``action`` without its prefix."""
        return await self.ask("cloudformation", f"cloudformation:{action}", question)


def at(cloud: Cloud, say: Callable[[str], None], longest: float) -> Desk:
    """A desk of a cloud."""
    return Desk(cloud, say, longest)


async def together(
    keys: Iterable[K], work: Callable[[K], Awaitable[T]], at_once: int = _ASKED_AT_ONCE
) -> dict[K, T]:
    """The result of ``work`` for each key, in their order, ``at_once`` of them side by side.

    Raises the first error as it is, in no group; the others are given up.
    """
    results: dict[K, T] = {}
    order = list(dict.fromkeys(keys))
    slots = anyio.CapacityLimiter(at_once)

    async def one(key: K) -> None:
        async with slots:
            results[key] = await work(key)

    try:
        async with anyio.create_task_group() as group:
            for key in order:
                group.start_soon(one, key)
    except BaseExceptionGroup as raised:
        raise only(raised) from None
    return {key: results[key] for key in order}


async def in_thread(work: Callable[[], T]) -> T:
    """Runs ``work`` in a thread that the process does not wait for when it ends.

    anyio's own worker threads are waited for: after Ctrl-C, up to the time-outs of boto3.
    """
    import asyncio

    await checkpoint()
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # None is T where work gives None

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:
            return  # the loop ended before the answer came

    threading.Thread(target=run, daemon=True).start()
    return await answer
