"""Bad input on the deployed functions, all at once among good files: each comes to its end with a
reason, holds up no other, and the sum is proved.

Functions that fail on purpose are the lake's own with a module more in their image.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio import to_thread
from dagger import dag
from kit.lakes import SAMPLE, AtWork

from ci.sample import proof, redriving, uploads
from ci.sample.accounting import CONVERTED, FAILED, QUEUED, Entry
from ci.sample.lake import DATASET

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

GOOD = {"id": "1", "name": "Good", "recclass": "L5"}
KEYS = [
    "a b.json", "a+b.json", "a%20b.json", "Krähenberg ☄️.json", "日本/隕石.json",
    "a'b\"c&d=e?f.json", "no ending", "dots..json",
]  # fmt: skip
# Stands before the handler of process-object: what a dataset's name says, it does.
FAULTY = """
import os, time
from lambda_function import lambda_handler as plain

def lambda_handler(item, context):
    match item["dataset"]:
        case "raises":
            raise ValueError("on purpose")
        case "hangs":
            time.sleep(300)
        case "exits":
            print("last words")
            os._exit(3)
        case "nojson":
            return {"what": object()}
        case "fills":
            len(b"x" * (1100 << 20))
    return plain(item, context)
"""
REASONS = {
    "raises": "ValueError: on purpose",
    "hangs": "Sandbox.Timedout: RequestId: ",
    "exits": "Runtime.ExitError: RequestId: ",
    "nojson": "Runtime.MarshalError: Unable to marshal response: ",
    "fills": "Runtime.OutOfMemory: RequestId: ",
}


async def derived(at_work: AtWork, function: str, code: str, handler: str) -> str:
    """The image of a deployed function with one module more, under the account's ECR name."""
    client = at_work.lake.client("lambda")
    name = at_work.function(function)
    uri = client.get_function(FunctionName=name)["Code"]["ImageUri"]
    host, _, path = uri.partition("/")
    lines = [f"FROM {at_work.images}/{path}", "COPY faulty.py .", f'CMD ["{handler}"]', ""]
    context = dag.directory().with_new_file("Dockerfile", "\n".join(lines))
    built = context.with_new_file("faulty.py", code).docker_build()
    pushed = await built.publish(f"{at_work.images}/{name}:faulty")
    return f"{host}/{name}@{pushed.partition('@')[2]}"


def large(megabytes: int) -> bytes:
    """An array of records, as many as make up the size."""
    record = {**GOOD, "reclong": "6.083330", "reclat": "50.775000", "more": "x" * 800}
    count = megabytes * 1_000_000 // len(json.dumps(record))
    return json.dumps([{**record, "id": str(10**9 + n)} for n in range(count)]).encode()


@dataclass(frozen=True)
class Aftermath:
    """What came of all the uploads."""

    at_work: AtWork
    good: list[Path]
    account: dict[str, Entry]
    rows: list[dict]

    def of(self, key: str) -> Entry:
        return self.account[key]


@pytest.fixture(scope="module")
async def aftermath(at_work):
    await at_work.load()
    for name in REASONS:
        await at_work.dataset(name)
    image = await derived(at_work, "stage-a-process-object", FAULTY, "faulty.lambda_handler")
    before = await at_work.images_of("stage-a-process-object", image, Timeout=12)
    paths = [p for p in (SAMPLE / "meteorites").glob("*.json") if p.stem != "malformed"]
    uploads.upload(at_work.lake, SAMPLE / "meteorites", paths, DATASET)
    for number, name in enumerate(KEYS):
        await at_work.put(f"{DATASET}/{name}", {**GOOD, "id": str(1000 + number)})
    for name, content in {
        "malformed.json": b'{"id": "1",', "no-text.json": b"\xff\xfe\xfa", "empty.json": b"",
        "empty-object.json": b"{}", "no-object.json": b"[1]", "large.json": large(50),
        "not-large.json": b"x" * 50_000_000,
    }.items():  # fmt: skip
        await at_work.put(f"{DATASET}/bad/{name}", content)
    for key in ("x.json", "physics/quarks/x.json", "engineering/quarks/x.json", "engineering/x"):
        await at_work.put(key, GOOD)
    for name in REASONS:
        await at_work.put(f"engineering/{name}/x.json", GOOD)
    await at_work.still(240)
    found = Aftermath(at_work, paths, await at_work.account(), await at_work.rows())
    yield found
    await at_work.images_of("stage-a-process-object", before["uri"], Timeout=before["Timeout"])


async def test_good_files_arrive_whatever_comes_with_them(aftermath):
    keys = [f"{DATASET}/{path.name}" for path in aftermath.good]
    assert {aftermath.of(key).kind for key in keys} == {CONVERTED}
    assert proof.differences(aftermath.rows, aftermath.good) == []


async def test_the_sum_is_proved(aftermath):
    kinds = [entry.kind for entry in aftermath.account.values()]
    assert set(kinds) == {CONVERTED, FAILED}
    bad = 6 + 4 + len(REASONS)  # of contents, of prefixes, of functions
    uploaded = set(aftermath.at_work.lake.keys(aftermath.at_work.lake.central))
    assert aftermath.account.keys() == uploaded
    failed = [key for key, entry in aftermath.account.items() if entry.kind == FAILED]
    assert len([key for key in failed if not key.endswith("meteorites/malformed.json")]) == bad


@pytest.mark.parametrize("name", KEYS)
async def test_a_key_of_any_kind_is_converted_once(aftermath, name):
    assert aftermath.of(f"{DATASET}/{name}").kind == CONVERTED
    number = 1000 + KEYS.index(name)
    assert [row["name"] for row in aftermath.rows if row["id"] == number] == ["Good"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("malformed.json", "is not valid JSON in UTF-8"),
        ("no-text.json", "is not valid JSON in UTF-8"),
        ("empty.json", "is not valid JSON in UTF-8"),
        ("empty-object.json", "lacks id"),
        ("no-object.json", "holds str where an object is expected"),
        ("not-large.json", "is not valid JSON in UTF-8"),
    ],
)
async def test_bad_content_is_named_with_file_and_reason(aftermath, name, reason):
    entry = aftermath.of(f"{DATASET}/bad/{name}")
    assert entry.kind == FAILED
    assert entry.detail.startswith("DataError: s3://")
    assert f"/bad/{name}: {reason}" in entry.detail


async def test_an_object_of_50_megabytes_is_converted(aftermath):
    assert aftermath.of(f"{DATASET}/bad/large.json").kind == CONVERTED
    count = len(json.loads(large(50)))
    assert count > 50_000
    assert sum(row["name"] == "Good" and row["lon"] == 6.08333 for row in aftermath.rows) == count


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("x.json", "x.json: is not below a folder TEAM/DATASET/"),
        ("engineering/x", "engineering/x: is not below a folder TEAM/DATASET/"),
        ("physics/quarks/x.json", "octagon-Datasets-e2elake has no dataset physics-quarks"),
        ("engineering/quarks/x.json", "octagon-Datasets-e2elake has no dataset engineering-quarks"),
    ],
)
async def test_an_unknown_team_or_dataset_is_a_dead_letter_with_a_reason(aftermath, key, reason):
    entry = aftermath.of(key)
    assert entry.kind == FAILED
    assert entry.detail.endswith(reason)
    assert aftermath.at_work.messages("routing", dead=True) >= 4


@pytest.mark.parametrize("name", REASONS)
async def test_a_function_that_fails_ends_in_the_error_path_with_its_reason(aftermath, name):
    entry = aftermath.of(f"engineering/{name}/x.json")
    assert entry.kind == FAILED
    assert entry.detail.startswith(REASONS[name]), entry.detail


async def test_the_functions_logs_tell_how_each_ended(aftermath):
    log = aftermath.at_work.log("stage-a-process-object")
    for words in (
        "Task timed out after 12.00 seconds", "Status: timeout", "\tlast words\n",
        "Runtime exited with error: exit status 3", "Error Type: Runtime.ExitError",
        "Error Type: Runtime.OutOfMemory", "ValueError: on purpose",
    ):  # fmt: skip
        assert words in log, words


async def test_a_redrive_brings_back_what_was_mended_and_fails_the_rest_again(aftermath):
    at_work = aftermath.at_work
    key = f"{DATASET}/bad/malformed.json"
    await at_work.put(key, {**GOOD, "id": "2000"})
    await at_work.dataset("quarks")
    await at_work.still()
    moved = await to_thread.run_sync(redriving.redrive, at_work.lake, DATASET)
    assert moved["redrive-lambda"] >= 4
    assert moved["stage-a-redrive"] >= 6
    await at_work.still(240)
    account = await at_work.account()
    assert account[key].kind == CONVERTED
    assert account["physics/quarks/x.json"].kind == FAILED
    # The dataset is known now; it has no queue before stage B.
    reason = account["engineering/quarks/x.json"].detail
    assert "there is no SSM parameter /DataLake/engineering/quarks/StageBQueueUrl" in reason
    assert [row["name"] for row in await at_work.rows() if row["id"] == 2000] == ["Good"]
    await at_work.bury()


async def test_an_event_that_is_delivered_twice_changes_nothing(at_work):
    """S3 delivers at least once; so does a standard queue."""
    before = await at_work.rows()
    sqs = at_work.lake.client("sqs")
    [queue] = [q for q in at_work.lake.queues() if q.stage == "routing" and not q.dead]
    key = f"{DATASET}/aachen.json"
    s3 = at_work.lake.client("s3")
    head = s3.head_object(Bucket=at_work.lake.central, Key=key)
    record = await at_work.record(f"s3://{at_work.lake.central}/{key}")
    sequencer = record["version"].rpartition("-")[2]
    about = {"key": key, "eTag": head["ETag"].strip('"'), "versionId": head["VersionId"]}
    about["sequencer"] = sequencer
    event = {"Records": [{"s3": {"bucket": {"name": at_work.lake.central}, "object": about}}]}
    for _ in range(2):
        sqs.send_message(QueueUrl=queue.url, MessageBody=json.dumps(event))
    await at_work.still()
    assert await at_work.record(f"s3://{at_work.lake.central}/{key}") == record
    assert sorted(map(str, await at_work.rows())) == sorted(map(str, before))


async def test_the_same_object_twice_is_one_row_and_a_new_content_replaces_it(at_work):
    key = f"{DATASET}/twice.json"
    await at_work.put(key, {**GOOD, "id": "3000"})
    await at_work.still()
    for content in ({"id": "3000"}, {"id": "3001"}):
        await at_work.put(key, {**GOOD, **content})
        await at_work.still()
        ids = [row["id"] for row in await at_work.rows() if row["id"] in (3000, 3001)]
        assert ids == [int(content["id"])]


async def test_a_crash_after_the_result_was_written_doubles_no_row(at_work):
    """process-data ends between its Parquet file and its word of it: Lambda tells the loop."""
    code = (
        "import os\n"
        "from datalake_library import octagon\n"
        "plain = octagon.progress\n"
        "def progress(execution, unless=None, **facts):\n"
        "    if facts.get('job_status') == octagon.SUCCEEDED: os._exit(1)\n"
        "    plain(execution, unless, **facts)\n"
        "octagon.progress = progress\n"
        "from lambda_function import lambda_handler\n"
    )
    image = await derived(at_work, "stage-b-process-data", code, "faulty.lambda_handler")
    before = await at_work.images_of("stage-b-process-data", image)
    try:
        for number in range(5):
            await at_work.put(f"{DATASET}/crash/{number}.json", {**GOOD, "id": str(4000 + number)})
        await at_work.still()
    finally:
        await at_work.images_of("stage-b-process-data", before["uri"])
    keys = [f"{DATASET}/crash/{number}.json" for number in range(5)]
    account = await at_work.account()
    for key in keys:
        assert account[key].kind == FAILED
        assert "Runtime.ExitError" in account[key].detail
    written = [row["id"] for row in await at_work.rows() if 4000 <= row["id"] < 4005]
    assert sorted(written) == list(range(4000, 4005))  # the crash came after it
    moved = await to_thread.run_sync(redriving.redrive, at_work.lake, DATASET)
    assert moved["stage-b-redrive"] == 5
    await at_work.still()
    account = await at_work.account()
    assert {account[key].kind for key in keys} == {CONVERTED}
    again = [row["id"] for row in await at_work.rows() if 4000 <= row["id"] < 4005]
    assert sorted(again) == list(range(4000, 4005))


async def test_a_file_that_vanished_before_stage_b_holds_up_no_other(at_work):
    """Its batch arrives without it; it alone takes the error path."""
    csv = "pre-stage/engineering/meteorites/gone.csv"
    async with at_work.without_schedule():
        for name in ("gone", "stays"):
            await at_work.put(f"{DATASET}/{name}.json", {**GOOD, "id": "5000"})
        await at_work.until(lambda: at_work.messages("b") == 2)
        at_work.lake.client("s3").delete_object(Bucket=at_work.lake.stage, Key=csv)
    await at_work.still()
    account = await at_work.account()
    assert account[f"{DATASET}/stays.json"].kind == CONVERTED
    assert account[f"{DATASET}/gone.json"].kind == FAILED
    assert account[f"{DATASET}/gone.json"].detail.endswith(f"{csv} is not there any more")


async def test_a_record_that_is_missing_in_datasets_is_a_reason_and_comes_back(at_work):
    table, key = at_work.lake.table("Datasets"), {"name": {"S": "engineering-meteorites"}}
    at_work.lake.client("dynamodb").delete_item(TableName=table, Key=key)
    try:
        await at_work.put(f"{DATASET}/unknown.json", {**GOOD, "id": "6000"})
        await at_work.still()
        entry = (await at_work.account())[f"{DATASET}/unknown.json"]
        assert entry.kind == FAILED
        assert entry.detail == f"{table} has no dataset engineering-meteorites"
    finally:
        await at_work.load()
    await to_thread.run_sync(redriving.redrive, at_work.lake, DATASET)
    await at_work.still(240)
    assert (await at_work.account())[f"{DATASET}/unknown.json"].kind == CONVERTED


async def test_what_waits_is_accounted_for_as_queued(at_work):
    key = f"{DATASET}/waits.json"
    async with at_work.without_schedule():
        await at_work.put(key, {**GOOD, "id": "7000"})
        await at_work.until(lambda: at_work.messages("b") == 1)
        await at_work.until(lambda: not list(at_work.lake.running()))
        entry = (await at_work.account())[key]
        assert (entry.kind, entry.detail) == (QUEUED, "stage b")
    await at_work.still()
    assert (await at_work.account())[key].kind == CONVERTED
