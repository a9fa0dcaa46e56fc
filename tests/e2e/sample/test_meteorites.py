"""Real meteorites through the deployed functions: all arrive, in time, row by row."""

import time
from pathlib import Path

import pytest
from kit.lakes import SAMPLE

from ci.sample import proof, uploads
from ci.sample.accounting import CONVERTED, FAILED
from ci.sample.lake import DATASET

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

METEORITES = Path(__file__).parents[3].parent / "shared" / "data" / "meteorites"


async def test_the_samples_files_are_rows_and_the_malformed_one_has_a_reason(at_work):
    paths = sorted((SAMPLE / "meteorites").glob("*.json"))
    keys = uploads.upload(at_work.lake, SAMPLE / "meteorites", paths, DATASET)
    await at_work.still()
    account = await at_work.account()
    good = [p for p, key in zip(paths, keys, strict=True) if account[key].kind == CONVERTED]
    assert [path.name for path in paths if path not in good] == ["malformed.json"]
    assert proof.differences(await at_work.rows(), good) == []
    failed = account[f"{DATASET}/malformed.json"]
    assert failed.kind == FAILED
    assert failed.detail.startswith("DataError: s3://")
    assert "malformed.json: is not valid JSON" in failed.detail


async def test_all_meteorites_are_rows_within_a_minute(at_work):
    if not METEORITES.is_dir():
        pytest.skip(f"the meteorite files are not there: {METEORITES}")
    paths = sorted(METEORITES.glob("*.json"))
    began = time.monotonic()
    keys = uploads.upload(at_work.lake, METEORITES, paths, DATASET)
    await at_work.still()
    seconds = time.monotonic() - began
    account = await at_work.account()
    assert {account[key].kind for key in keys} == {CONVERTED}
    # Three of the sample's files tell of the same meteorites.
    sample = [p for p in (SAMPLE / "meteorites").glob("*.json") if p.stem != "malformed"]
    assert proof.differences(await at_work.rows(), [*paths, *sample]) == []
    assert seconds <= 60


async def test_every_step_recorded_itself(at_work):
    """Execution history with start, end, status; pipelines with their last one; the catalogue."""
    dynamodb, lake = at_work.lake.client("dynamodb"), at_work.lake
    history = dynamodb.scan(TableName=lake.table("PipelineExecutionHistory"))["Items"]
    assert {item["pipeline"]["S"] for item in history} == {
        "engineering-main-pre-stage",
        "engineering-main-post-stage",
    }
    for item in history:
        assert item["start_timestamp"]["S"] <= item["end_timestamp"]["S"]
        assert item["status"]["S"] in ("COMPLETED", "FAILED")
        assert ("error" in item) == (item["status"]["S"] == "FAILED")
    pipelines = dynamodb.scan(TableName=lake.table("Pipelines"))["Items"]
    executions = {item["id"]["S"] for item in history}
    assert {item["last_execution_id"]["S"] for item in pipelines} <= executions
    table = lake.client("glue").get_table(
        DatabaseName=f"datalake_{lake.environment}_engineering", Name="meteorites"
    )["Table"]
    location = f"s3://{lake.stage}/post-stage/engineering/meteorites/"
    assert table["StorageDescriptor"]["Location"] == location


async def test_functions_ran_as_their_stacks_declare(at_work):
    """Memory and time-out of the templates are in the logs and in the configuration."""
    log = at_work.log("stage-b-process-data")
    assert "Memory Size: 2048 MB" in log
    assert log.count("START RequestId: ") == log.count("END RequestId: ") > 0
    assert log.count("REPORT RequestId: ") == log.count("END RequestId: ")
    assert "Memory Size: 1024 MB" in at_work.log("stage-a-process-object")
