"""Tables and queues that are gone: objects end with a reason, and come back once they are there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio import to_thread
from kit.lakes import AtWork

from ci.sample import redriving
from ci.sample.accounting import CONVERTED, FAILED, WORKING
from ci.sample.lake import DATASET

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

GOOD = {"id": "1", "name": "Good", "recclass": "L5"}


@asynccontextmanager
async def without_table(at_work: AtWork, name: str) -> AsyncIterator[None]:
    """A table is gone inside, and back afterwards, with what was in it."""
    dynamodb, table = at_work.lake.client("dynamodb"), at_work.lake.table(name)
    about = dynamodb.describe_table(TableName=table)["Table"]
    items = dynamodb.scan(TableName=table)["Items"]
    dynamodb.delete_table(TableName=table)
    try:
        yield
    finally:
        dynamodb.create_table(
            TableName=table, KeySchema=about["KeySchema"], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=about["AttributeDefinitions"],
        )  # fmt: skip
        for item in items:
            dynamodb.put_item(TableName=table, Item=item)


@asynccontextmanager
async def without_queue(at_work: AtWork, stage: str) -> AsyncIterator[None]:
    """A queue is gone inside, and back afterwards as it was."""
    sqs = at_work.lake.client("sqs")
    [queue] = [q for q in at_work.lake.queues() if q.stage == stage and not q.dead]
    given = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    kept = ("VisibilityTimeout", "RedrivePolicy", "FifoQueue", "DeduplicationScope",
            "FifoThroughputLimit")  # fmt: skip
    sqs.delete_queue(QueueUrl=queue.url)
    try:
        yield
    finally:
        attributes = {name: given[name] for name in kept if name in given}
        sqs.create_queue(QueueName=queue.name, Attributes=attributes)


async def comes_back(at_work: AtWork, key: str) -> None:
    await to_thread.run_sync(redriving.redrive, at_work.lake, DATASET)
    await at_work.still()
    assert (await at_work.account())[key].kind == CONVERTED


async def test_a_table_of_datasets_that_is_gone(at_work):
    await at_work.bury()
    key = f"{DATASET}/no-table.json"
    async with without_table(at_work, "Datasets"):
        await at_work.put(key, {**GOOD, "id": "8000"})
        await at_work.until(lambda: at_work.messages("routing", dead=True) == 1)
        entry = (await at_work.account())[key]
        assert entry.kind == FAILED
        assert "ResourceNotFoundException" in entry.detail
    await comes_back(at_work, key)


async def test_a_table_of_records_that_is_gone_still_leaves_a_dead_letter(at_work):
    key = f"{DATASET}/no-records.json"
    async with without_table(at_work, "ObjectMetadata"):
        await at_work.put(key, {**GOOD, "id": "8001"})
        await at_work.until(lambda: at_work.messages("routing", dead=True) == 1)
    entry = (await at_work.account())[key]
    assert entry.kind == FAILED
    assert "routing-dlq: given up after all attempts" in entry.detail
    assert "ResourceNotFoundException" in at_work.log("routing-lambda")
    await comes_back(at_work, key)


@pytest.mark.parametrize("stage", ["a", "b"])
async def test_a_queue_that_is_gone(at_work, stage):
    key = f"{DATASET}/no-queue-{stage}.json"
    where = "routing" if stage == "a" else "a"  # it cannot be handed on from there
    async with without_queue(at_work, stage):
        await at_work.put(key, {**GOOD, "id": f"800{ord(stage)}"})
        await at_work.until(lambda: at_work.messages(where, dead=True) == 1)
        await at_work.until(lambda: not list(at_work.lake.running()))
        entry = (await at_work.account())[key]
        assert entry.kind == FAILED
        assert "does not exist" in entry.detail
    await comes_back(at_work, key)


async def test_an_error_path_that_fails_itself_is_repeated_and_keeps_the_item_once(at_work):
    """Without the execution history no step can record itself, the error path neither."""
    key = f"{DATASET}/no-history.json"
    url = f"s3://{at_work.lake.central}/{key}"
    async with without_table(at_work, "PipelineExecutionHistory"):
        await at_work.put(key, {**GOOD, "id": "8002"})
        await at_work.until(lambda: at_work.messages("a", dead=True) == 1)
        await at_work.until(lambda: at_work.lake.records()[url]["status"] == "FAILED")
        entry = (await at_work.account())[key]
        assert entry.kind in (FAILED, WORKING)  # it goes on trying to record more
        assert "ResourceNotFoundException" in at_work.lake.records()[url]["error"]
    await at_work.until(lambda: not list(at_work.lake.running()))
    assert at_work.messages("a", dead=True) == 1  # and not one for each attempt
    assert (await at_work.account())[key].kind == FAILED
    await comes_back(at_work, key)
