"""The sample data lake, deployed into a local cloud and at work."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from ci.local.lambdas.host import Host
from ci.local.lambdas.schedules import LOOK_EVERY
from ci.sample import accounting, records, rows
from ci.sample.accounting import Account, Entry
from ci.sample.lake import DATASET, Lake
from kit.pipeline import ROOT, run

TEAM, NAME = DATASET.split("/")
SAMPLE = ROOT / "sample_data"


def deploy(directory: Path, port: int, prefix: str, bucket: str) -> None:
    """Builds, packages and deploys all of it with the pipeline's own commands."""
    options = ["--prefix", prefix, "--endpoint-url", f"http://localhost:{port}"]
    options += ["--bucket", bucket]
    for command in ("layer", "app", "deploy"):
        done = run(directory / "out", command, *options)
        assert done.code == 0, done.out + done.err


@dataclass
class AtWork:
    """A lake whose functions run. ``results`` is where their logs are."""

    lake: Lake
    host: Host
    results: Path
    images: str

    async def load(self, **changes: Any) -> None:
        """Load the records; ``changes`` of the dataset's."""
        for record in records.read(SAMPLE):
            await to_thread.run_sync(records.load, self.lake, record)
        if changes:
            await self.dataset(NAME, **changes)

    async def dataset(self, name: str, **changes: Any) -> None:
        """A record of a dataset of the team, like the sample's."""
        [like] = [each for each in records.read(SAMPLE) if each.table == "Datasets"]
        given = {key: records.typed(value) for key, value in changes.items()}
        item = {**like.item, "name": {"S": f"{TEAM}-{name}"}, **given}
        table = self.lake.table("Datasets")
        await to_thread.run_sync(
            lambda: self.lake.client("dynamodb").put_item(TableName=table, Item=item)
        )

    async def put(self, key: str, content: bytes | str | Mapping[str, Any]) -> str:
        """Upload an object; its s3:// URL."""
        body = content if isinstance(content, bytes | str) else json.dumps(content)
        await to_thread.run_sync(
            lambda: self.lake.client("s3").put_object(Bucket=self.lake.central, Key=key, Body=body)
        )
        return f"s3://{self.lake.central}/{key}"

    async def still(self, seconds: float = 120) -> None:
        assert await self.host.drained(seconds), f"not still after {seconds} s"

    async def account(self) -> dict[str, Entry]:
        """The account by key; nothing is unaccounted for, and the sum is right."""
        found: Account = await to_thread.run_sync(accounting.take, self.lake)
        assert found.proved, accounting.text(found)
        keys = await to_thread.run_sync(self.lake.keys, self.lake.central)
        assert [entry.key for entry in found.entries] == keys
        return {entry.key: entry for entry in found.entries}

    async def rows(self, dataset: str = DATASET) -> list[dict[str, Any]]:
        return await to_thread.run_sync(lambda: list(rows.read(self.lake, dataset)))

    async def record(self, url: str) -> dict[str, Any]:
        found = await to_thread.run_sync(self.lake.records)
        return found.get(url, {})

    async def until(self, done: Callable[[], Any], seconds: float = 60) -> Any:
        """What ``done`` gives, once it gives something."""
        deadline = time.monotonic() + seconds
        while not (found := await to_thread.run_sync(done)):
            assert time.monotonic() < deadline, f"nothing after {seconds} s"
            await to_thread.run_sync(time.sleep, 0.2)
        return found

    def function(self, name: str) -> str:
        return self.lake.function(name)

    def log(self, name: str) -> str:
        """All that a function's environments logged."""
        files = (self.results / "lambda" / self.function(name)).glob("*.log")
        return "".join(file.read_text() for file in sorted(files))

    async def images_of(self, name: str, uri: str, **configuration: Any) -> dict[str, Any]:
        """Give a function another image and configuration; what it had before."""

        def change() -> dict[str, Any]:
            client = self.lake.client("lambda")
            before = client.get_function(FunctionName=self.function(name))
            client.update_function_code(FunctionName=self.function(name), ImageUri=uri)
            had = {key: before["Configuration"][key] for key in configuration}
            if configuration:
                client.update_function_configuration(
                    FunctionName=self.function(name), **configuration
                )
            return {"uri": before["Code"]["ImageUri"], **had}

        return await to_thread.run_sync(change)

    async def bury(self) -> None:
        """Empty the dead-letter queues: what is in them would be redriven by the next test, too."""
        sqs = self.lake.client("sqs")

        def empty() -> None:
            for queue in self.lake.queues():
                while queue.dead and (
                    found := sqs.receive_message(
                        QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=5
                    ).get("Messages")
                ):
                    for message in found:
                        handle = message["ReceiptHandle"]
                        sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=handle)

        await to_thread.run_sync(empty)

    @asynccontextmanager
    async def without_schedule(self) -> AsyncIterator[None]:
        """Inside, nobody looks for files that wait for stage B."""
        events = self.lake.client("events")
        rule = f"{self.lake.prefix}{TEAM}-{NAME}-stage-b"
        events.disable_rule(Name=rule)
        await anyio.sleep(LOOK_EVERY + 1)  # until the host has seen it
        try:
            yield
        finally:
            events.enable_rule(Name=rule)

    def messages(self, stage: str, *, dead: bool = False) -> int:
        """How many messages the queues of a stage hold."""
        return sum(
            queue.messages
            for queue in self.lake.queues()
            if queue.stage == stage and queue.dead == dead
        )
