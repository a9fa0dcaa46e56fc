"""Event source mappings: queues are read, functions invoked with what is in them.

As Lambda's pollers do: messages of a batch that succeeded are deleted; those that failed stay in
the queue, hidden until their visibility time-out, and the queue's redrive policy counts. That wait
passes faster here, see ``ci.local.lambdas.host``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from anyio import CancelScope, to_thread

from ci import aws
from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.local.lambdas import queue_events
from ci.local.lambdas.diary import Diary
from ci.local.lambdas.functions import NoSuchFunction, NotServed, plain_name
from ci.local.lambdas.invocations import Invocations
from ci.local.lambdas.runtime_api import Result

LOOK_EVERY = 2.0
"""Seconds between two looks at which mappings there are."""
AT_ONCE = 2
"""Batches of a mapping in work; Lambda begins with more, and has more processors."""
IDLE = (0.1, 0.5)
"""Seconds between two looks into an empty queue: the shortest and the longest."""
RETRY = 1.0
_MOST = 10  # messages in one ReceiveMessage


@dataclass(frozen=True)
class Source:
    """An enabled mapping of a queue to a function, as Lambda calls it an event source mapping."""

    id: str
    queue_arn: str
    function: str
    batch_size: int
    window: float
    at_once: int
    single: bool

    @property
    def queue(self) -> str:
        return self.queue_arn.rpartition(":")[2]


class Sources:
    """Drives functions by their queues for as long as ``run`` runs."""

    def __init__(self, cloud: Cloud, invocations: Invocations, diary: Diary, pace: float) -> None:
        self._invocations, self._diary, self._pace = invocations, diary, pace
        self._lambda, self._sqs = cloud.client("lambda"), cloud.client("sqs")
        self._readers: dict[Source, asyncio.Task[None]] = {}
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def in_progress(self) -> int:
        """Batches that are not done with."""
        return len(self._batches)

    async def run(self) -> None:
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            with CancelScope(shield=True):
                await self._end([*self._readers.values(), *self._batches])

    async def _look(self) -> None:
        """Begins to read what is mapped now, ends to read what is not."""
        try:
            wanted = await to_thread.run_sync(self._mappings)
        except PipelineError as error:
            self._diary.trouble("event source mappings", str(error))
            return
        self._diary.well("event source mappings")
        for gone in self._readers.keys() - wanted:
            self._diary.say(f"{gone.queue} is not read for {gone.function} any more")
            await self._end([self._readers.pop(gone)])
        for source in wanted - self._readers.keys():
            self._diary.say(f"{source.queue} is read for {source.function}")
            self._readers[source] = asyncio.create_task(self._read(source))
        for task in self._readers.values():
            if task.done():
                task.result()  # raises what nobody expected

    def _mappings(self) -> set[Source]:
        with aws.explained("AWS Lambda", "lambda:ListEventSourceMappings"):
            pages = self._lambda.get_paginator("list_event_source_mappings").paginate()
            listed = [each for page in pages for each in page["EventSourceMappings"]]
        return {
            _mapping(each)
            for each in listed
            if each.get("State") == "Enabled" and ":sqs:" in each.get("EventSourceArn", "")
        }

    async def _read(self, source: Source) -> None:
        places = asyncio.Semaphore(source.at_once)
        wait = IDLE[0]
        who = f"queue {source.queue}"
        while True:
            await places.acquire()
            try:
                messages = await self._gather(source)
            except PipelineError as error:
                places.release()
                self._diary.trouble(who, str(error))
                await asyncio.sleep(RETRY)
                continue
            except BaseException:
                places.release()
                raise
            self._diary.well(who)
            if messages:
                wait = IDLE[0]
                task = asyncio.create_task(self._batch(source, messages))
                self._batches.add(task)
                task.add_done_callback(self._batches.discard)
                task.add_done_callback(lambda _: places.release())
            else:
                places.release()
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, IDLE[1])

    async def _gather(self, source: Source) -> list[dict[str, Any]]:
        """A batch: what is there at once, and what comes within the window."""
        until = time.monotonic() + source.window / self._pace
        messages: list[dict[str, Any]] = []
        while True:
            wanted = source.batch_size - len(messages)
            # What a cancelled call received would stay hidden: it is waited for.
            with CancelScope(shield=True):
                received = await to_thread.run_sync(self._receive, source, wanted)
            messages += received
            full = len(messages) >= source.batch_size
            if full or time.monotonic() >= until or not (messages or received):
                return messages
            if not received:
                await asyncio.sleep(IDLE[0])

    def _receive(self, source: Source, wanted: int) -> list[dict[str, Any]]:
        with aws.explained("Amazon SQS", "sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url(source),
                MaxNumberOfMessages=min(_MOST, wanted),
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        received: list[dict[str, Any]] = answer.get("Messages", [])
        return received

    async def _batch(self, source: Source, messages: list[dict[str, Any]]) -> None:
        ids = {message["MessageId"] for message in messages}
        try:
            result = await self._result(source, messages)
        except asyncio.CancelledError:
            with CancelScope(shield=True):  # for the next host to read at once
                await to_thread.run_sync(self._settle, source, messages, ids, 0)
            raise
        failed = queue_events.failed(result, ids, single=source.single)
        if failed:
            words = result.payload.decode(errors="replace")
            self._diary.say(f"{len(failed)} of {len(ids)} messages of {source.queue}: {words}")
        await to_thread.run_sync(self._settle, source, messages, failed, None)

    async def _result(self, source: Source, messages: list[dict[str, Any]]) -> Result:
        event = queue_events.event(messages, source.queue_arn)
        try:
            return await self._invocations.invoke(source.function, event)
        except (NoSuchFunction, NotServed, PipelineError) as error:
            return Result.error("ServiceException", str(error))

    def _settle(
        self,
        source: Source,
        messages: list[dict[str, Any]],
        failed: set[str],
        hidden: int | None,
    ) -> None:
        """Deletes what succeeded; hides what failed, by default as long as the queue says."""
        try:
            with aws.explained("Amazon SQS", "sqs:DeleteMessage"):
                url = self._url(source)
                done = [m for m in messages if m["MessageId"] not in failed]
                for entries in _entries(done):
                    self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
                if not failed:
                    return
                seconds = self._hidden(url) if hidden is None else hidden
                for message in messages:
                    if message["MessageId"] in failed:
                        self._sqs.change_message_visibility(
                            QueueUrl=url,
                            ReceiptHandle=message["ReceiptHandle"],
                            VisibilityTimeout=seconds,
                        )
        except PipelineError as error:
            self._diary.trouble(f"queue {source.queue}", str(error))

    def _hidden(self, url: str) -> int:
        name = "VisibilityTimeout"
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return ceil(int(attributes["Attributes"][name]) / self._pace)

    def _url(self, source: Source) -> str:
        return str(self._sqs.get_queue_url(QueueName=source.queue)["QueueUrl"])

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _mapping(given: Mapping[str, Any]) -> Source:
    scaling = given.get("ScalingConfig") or {}
    return Source(
        id=given["UUID"],
        queue_arn=given["EventSourceArn"],
        function=plain_name(given["FunctionArn"]),
        batch_size=given.get("BatchSize") or 10,
        window=float(given.get("MaximumBatchingWindowInSeconds") or 0),
        at_once=min(AT_ONCE, scaling.get("MaximumConcurrency", AT_ONCE)),
        single="ReportBatchItemFailures" in (given.get("FunctionResponseTypes") or []),
    )


def _entries(messages: list[dict[str, Any]]) -> list[list[dict[str, str]]]:
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
        for number, message in enumerate(messages)
    ]
    return [entries[start : start + _MOST] for start in range(0, len(entries), _MOST)]
