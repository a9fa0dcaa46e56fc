"""The handlers one after the other, as queues and state machines will call them."""

import io
import json
from urllib.parse import quote_plus

import pyarrow.parquet
import pytest
from application_fixtures import FUNCTIONS, ROOT, load
from datalake_library.errors import ConfigurationError, DataError

SAMPLES = sorted((ROOT / "sample_data" / "meteorites").glob("*.json"))


def notification(*keys, etag="1"):
    return {
        "Records": [
            {
                "s3": {
                    "bucket": {"name": "central"},
                    "object": {"key": quote_plus(key), "eTag": etag},
                }
            }
            for key in keys
        ]
    }


def sqs_event(*bodies):
    return {
        "Records": [{"messageId": f"m{n}", "body": json.dumps(b)} for n, b in enumerate(bodies)]
    }


def upload(lake, name="x.json", content=b'{"id": 1, "name": "n", "recclass": "c"}'):
    key = f"engineering/meteorites/{name}"
    lake.s3.put_object(Bucket="central", Key=key, Body=content)
    return {
        "bucket": "central",
        "key": key,
        "team": "engineering",
        "dataset": "meteorites",
        "pipeline": "main",
    }


def test_the_fleet_is_complete():
    stage_a = "routing redrive preupdate-metadata process-object postupdate-metadata error"
    stage_b = "routing redrive process-data check-job crawl-data postupdate-metadata error"
    expected = ["routing-lambda", "redrive-lambda"]
    expected += [f"stage-a-{name}" for name in stage_a.split()]
    expected += [f"stage-b-{name}" for name in stage_b.split()]
    assert sorted(expected) == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_handler_imports_without_any_environment(function, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert callable(load(function).lambda_handler)


def test_an_upload_is_routed_to_its_teams_stage_a_once(lake, invoke):
    item = upload(lake, "a b+ä.json")
    for _ in range(2):
        assert invoke("routing-lambda", notification(item["key"])) == {"routed": 1}
    assert lake.messages("stage-a") == [item]
    record = lake.record("octagon-ObjectMetadata", f"s3://central/{item['key']}")
    assert (record["status"], record["dataset"]) == ("STARTED", "engineering-meteorites")


def test_a_new_version_of_an_object_is_routed_again(lake, invoke):
    item = upload(lake)
    for etag in ("1", "2"):
        invoke("routing-lambda", notification(item["key"], etag=etag))
    assert lake.messages("stage-a") == [item, item]


@pytest.mark.parametrize(
    ("key", "error"), [("x.json", DataError), ("physics/quarks/x.json", ConfigurationError)]
)
def test_what_belongs_to_no_dataset_fails_with_a_record(lake, invoke, key, error):
    with pytest.raises(error):
        invoke("routing-lambda", notification(key))
    record = lake.record("octagon-ObjectMetadata", f"s3://central/{key}")
    assert record["status"] == "FAILED"
    assert key.split("/")[0] in record["error"]


def test_in_a_queue_only_the_failed_message_stays(lake, invoke):
    good, bad = upload(lake)["key"], "physics/quarks/x.json"
    event = sqs_event(notification(good), notification(bad))
    assert invoke("routing-lambda", event) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert [message["key"] for message in lake.messages("stage-a")] == [good]


def test_an_event_that_comes_again_when_the_work_is_done_changes_nothing(lake, invoke):
    item = upload(lake)
    url = f"s3://central/{item['key']}"
    invoke("routing-lambda", notification(item["key"]))
    assert len(lake.messages("stage-a")) == 1
    stage_a(invoke, item)
    before = lake.record("octagon-ObjectMetadata", url)
    invoke("routing-lambda", notification(item["key"]))
    assert lake.messages("stage-a") == []
    assert lake.record("octagon-ObjectMetadata", url) == before


def test_what_failed_on_its_way_into_the_queue_is_sent_by_the_next_attempt(lake, invoke):
    item = upload(lake)
    lake.sqs.delete_queue(QueueUrl=lake.queues["stage-a"])
    with pytest.raises(Exception, match="does not exist"):
        invoke("routing-lambda", notification(item["key"]))
    record = lake.record("octagon-ObjectMetadata", f"s3://central/{item['key']}")
    assert record["status"] == "FAILED"
    assert "does not exist" in record["error"]
    lake.sqs.create_queue(QueueName="stage-a.fifo", Attributes={"FifoQueue": "true"})
    assert invoke("routing-lambda", notification(item["key"])) == {"routed": 1}
    assert lake.messages("stage-a") == [item]


def test_a_state_machine_that_is_gone_is_a_reason_in_the_objects_record(lake, invoke, monkeypatch):
    monkeypatch.setenv("STATE_MACHINE", lake.machine + "-gone")
    item = upload(lake)
    answer = invoke("stage-a-routing", sqs_event(item))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    record = lake.record("octagon-ObjectMetadata", f"s3://central/{item['key']}")
    assert (record["status"], "StateMachineDoesNotExist" in record["error"]) == ("FAILED", True)


def test_stage_a_starts_one_execution_a_message(lake, invoke):
    item = upload(lake)
    for _ in range(2):
        assert invoke("stage-a-routing", sqs_event(item)) == {"batchItemFailures": []}
    assert lake.executions() == [{"name": "m0", "input": {**item, "execution": "m0"}}]


def stage_a(invoke, item, execution="e1"):
    item = invoke("stage-a-preupdate-metadata", {**item, "execution": execution})
    return invoke("stage-a-postupdate-metadata", invoke("stage-a-process-object", item))


def test_stage_a_converts_records_and_hands_on(lake, invoke):
    item = upload(lake)
    done = stage_a(invoke, item)
    key = "pre-stage/engineering/meteorites/x.csv"
    assert done["processed"] == {"bucket": "stage", "key": key}
    body = lake.s3.get_object(Bucket="stage", Key=key)["Body"].read()
    assert body == b"id,name,recclass,reclong,reclat\r\n1,n,c,,\r\n"
    assert lake.messages("stage-b") == [{**item, "bucket": "stage", "key": key}]

    history = lake.record("octagon-PipelineExecutionHistory", "e1")
    assert (history["status"], history["pipeline"]) == ("COMPLETED", "engineering-main-pre-stage")
    assert history["start_timestamp"] <= history["end_timestamp"]
    pipeline = lake.record("octagon-Pipelines", "engineering-main-pre-stage")
    assert pipeline["last_execution_id"] == "e1"
    assert pipeline["owner"] == "Yuri Gagarin"
    source = lake.record("octagon-ObjectMetadata", f"s3://central/{item['key']}")
    assert (source["status"], source["result"]) == ("COMPLETED", f"s3://stage/{key}")


def test_stage_a_repeated_gives_the_same_once(lake, invoke):
    item = upload(lake)
    stage_a(invoke, item)
    first = lake.record("octagon-PipelineExecutionHistory", "e1")
    stage_a(invoke, item)
    second = lake.record("octagon-PipelineExecutionHistory", "e1")
    assert {**second, "last_updated_timestamp": 0} == {**first, "last_updated_timestamp": 0}
    assert len(lake.messages("stage-b")) == 1
    assert len(lake.s3.list_objects_v2(Bucket="stage")["Contents"]) == 1


def test_names_that_differ_only_in_their_ending_do_not_collide(lake, invoke):
    sources = [upload(lake, name) for name in ("x.json", "x.txt", "x", "x.JSON")]
    results = [invoke("stage-a-process-object", {**item, "execution": "e"}) for item in sources]
    keys = [result["processed"]["key"] for result in results]
    assert len(set(keys)) == 4


def test_stage_as_error_path_keeps_the_reason_and_the_item(lake, invoke):
    item = {**upload(lake, content=b"{"), "execution": "e1"}
    with pytest.raises(DataError) as raised:
        invoke("stage-a-process-object", item)
    cause = json.dumps({"errorType": "DataError", "errorMessage": str(raised.value)})
    for _ in range(2):
        invoke("stage-a-error", {**item, "error": {"Error": "DataError", "Cause": cause}})
    record = lake.record("octagon-ObjectMetadata", f"s3://central/{item['key']}")
    assert record["status"] == "FAILED"
    assert "x.json: is not valid JSON" in record["error"]
    assert lake.record("octagon-PipelineExecutionHistory", "e1")["status"] == "FAILED"

    assert invoke("stage-a-redrive", {}) == {"moved": 1}
    del item["execution"]
    assert lake.messages("stage-a") == [item]
    assert lake.messages("stage-a-dlq") == []


def gather(lake, invoke, files):
    for number, file in enumerate(files):
        item = upload(lake, file.name, file.read_bytes())
        stage_a(invoke, item, f"e{number}")
    return {"team": "engineering", "dataset": "meteorites"}


def test_stage_b_turns_what_arrived_into_one_parquet_file(lake, invoke):
    good = [file for file in SAMPLES if file.stem != "malformed"]
    started = invoke("stage-b-routing", gather(lake, invoke, good))["started"]
    (execution,) = lake.executions()
    batch = execution["input"]
    assert (execution["name"], len(batch["keys"])) == (started, len(good))
    assert lake.messages("stage-b") == []

    assert invoke("stage-b-check-job", batch)["job"] == {"status": "RUNNING"}
    for _ in range(2):
        invoke("stage-b-process-data", batch)
    batch = invoke("stage-b-check-job", batch)
    key = f"post-stage/engineering/meteorites/{started}.parquet"
    assert batch["job"] == {"status": "SUCCEEDED", "result": key}
    for _ in range(2):
        invoke("stage-b-postupdate-metadata", invoke("stage-b-crawl-data", batch))

    body = lake.s3.get_object(Bucket="stage", Key=key)["Body"].read()
    rows = pyarrow.parquet.read_table(io.BytesIO(body)).to_pylist()
    records = [json.loads(file.read_text()) for file in good]
    assert rows == [
        {
            "id": int(record["id"]),
            "name": record["name"],
            "cls": record["recclass"],
            "lon": float(record["reclong"]) if "reclong" in record else None,
            "lat": float(record["reclat"]) if "reclat" in record else None,
        }
        for record in records
    ]
    table = lake.glue.get_table(DatabaseName="engineering_meteorites", Name="meteorites")["Table"]
    columns = {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]}
    assert columns == {
        "id": "bigint",
        "name": "string",
        "cls": "string",
        "lon": "double",
        "lat": "double",
    }
    location = table["StorageDescriptor"]["Location"]
    assert location == "s3://stage/post-stage/engineering/meteorites/"
    history = lake.record("octagon-PipelineExecutionHistory", started)
    assert (history["status"], history["pipeline"]) == ("COMPLETED", "engineering-main-post-stage")


def run_stage_b(lake, invoke, event):
    """One batch, from the queue to its end."""
    before = {one["name"] for one in lake.executions()}
    invoke("stage-b-routing", event)
    [batch] = [one["input"] for one in lake.executions() if one["name"] not in before]
    invoke("stage-b-process-data", batch)
    return invoke("stage-b-check-job", batch)


def all_rows(lake):
    """The rows of all Parquet files."""
    listed = lake.s3.list_objects_v2(Bucket="stage", Prefix="post-stage/").get("Contents", [])
    bodies = [lake.s3.get_object(Bucket="stage", Key=o["Key"])["Body"].read() for o in listed]
    return [row for b in bodies for row in pyarrow.parquet.read_table(io.BytesIO(b)).to_pylist()]


def test_an_object_that_comes_again_has_its_rows_once_and_the_new_ones(lake, invoke):
    good = [file for file in SAMPLES if file.stem != "malformed"][:3]
    event = gather(lake, invoke, good)
    run_stage_b(lake, invoke, event)
    first = all_rows(lake)
    assert len(first) == 3
    stage_a(invoke, upload(lake, good[0].name, good[0].read_bytes()), "again")
    batch = run_stage_b(lake, invoke, event)  # in a batch of its own
    assert batch["job"]["status"] == "SUCCEEDED"
    assert all_rows(lake) == first
    changed = {**json.loads(good[1].read_text()), "name": "Another"}
    stage_a(invoke, upload(lake, good[1].name, json.dumps(changed).encode()), "changed")
    stage_a(invoke, upload(lake, "new.json"), "new")
    run_stage_b(lake, invoke, event)
    rows = all_rows(lake)
    assert len(rows) == 4
    assert [row["name"] for row in rows if row["id"] == int(changed["id"])] == ["Another"]


def test_a_crash_after_the_result_and_before_its_record_doubles_nothing(lake, invoke):
    good = [file for file in SAMPLES if file.stem != "malformed"][:3]
    event = gather(lake, invoke, good)
    batch = run_stage_b(lake, invoke, event)
    invoke("stage-b-error", {**batch, "error": {"Error": "Lambda.Unknown", "Cause": "crash"}})
    assert invoke("stage-b-redrive", event) == {"moved": 3}
    batch = run_stage_b(lake, invoke, event)
    invoke("stage-b-postupdate-metadata", batch)
    assert len(all_rows(lake)) == 3
    for key in batch["keys"]:
        record = lake.record("octagon-ObjectMetadata", f"s3://stage/{key}")
        assert record["status"] == "COMPLETED"
        part = record["result"].removeprefix("s3://stage/")
        assert lake.s3.head_object(Bucket="stage", Key=part)


def test_a_file_that_cannot_be_read_holds_up_no_other(lake, invoke):
    good = [file for file in SAMPLES if file.stem != "malformed"][:4]
    event = gather(lake, invoke, good)
    keys = [f"pre-stage/engineering/meteorites/{file.stem}.csv" for file in good]
    lake.s3.put_object(Bucket="stage", Key=keys[0], Body=b"no csv")
    lake.s3.delete_object(Bucket="stage", Key=keys[1])
    batch = run_stage_b(lake, invoke, event)
    assert batch["job"]["status"] == "SUCCEEDED"
    assert batch["job"]["failed"].keys() == set(keys[:2])
    invoke("stage-b-error", invoke("stage-b-postupdate-metadata", batch))
    assert len(all_rows(lake)) == 2
    records = [lake.record("octagon-ObjectMetadata", f"s3://stage/{key}") for key in keys]
    assert [r["status"] for r in records] == ["FAILED", "FAILED", "COMPLETED", "COMPLETED"]
    assert f"{keys[0]} is not the expected CSV" in records[0]["error"]
    assert f"{keys[1]} is not there any more" in records[1]["error"]
    assert sorted(m["key"] for m in lake.messages("stage-b-dlq")) == sorted(keys[:2])
    history = lake.record("octagon-PipelineExecutionHistory", batch["execution"])
    assert history["status"] == "FAILED"
    assert history["error"].startswith("2 of 4 objects failed")


@pytest.mark.parametrize(
    ("answer", "condition", "error"),
    [
        (
            {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 9.00 seconds"},
            "RetriesExhausted",
            "Sandbox.Timedout: Task timed out after 9.00 seconds",
        ),
        (None, "EventAgeExceeded", "EventAgeExceeded: it never began"),
    ],
)
def test_lambda_tells_of_a_job_that_could_not_record_its_end(
    lake, invoke, answer, condition, error
):
    batch = {"execution": "e1"}
    event = {"requestPayload": batch, "requestContext": {"condition": condition}}
    invoke("stage-b-check-job", event | ({"responsePayload": answer} if answer else {}))
    assert invoke("stage-b-check-job", batch)["job"] == {"status": "FAILED", "error": error}


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_what_a_job_recorded_itself_stays(lake, invoke, status):
    from datalake_library import octagon

    octagon.progress("e1", job_status=status, job_error="own words")
    event = {
        "requestPayload": {"execution": "e1"},
        "requestContext": {"condition": "RetriesExhausted"},
    }
    invoke("stage-b-check-job", event)
    job = invoke("stage-b-check-job", {"execution": "e1"})["job"]
    assert job == {"status": status, "error": "own words"}


def test_stage_b_waits_for_the_least_number_of_items_and_loses_none(lake, invoke):
    lake.table("octagon-Datasets").update_item(
        Key={"name": "engineering-meteorites"},
        UpdateExpression="SET min_items_process = :two",
        ExpressionAttributeValues={":two": 2},
    )
    event = gather(lake, invoke, SAMPLES[:1])
    for _ in range(2):
        assert invoke("stage-b-routing", event) == {"started": None, "waiting": 1}
    assert lake.executions() == []
    assert len(lake.messages("stage-b")) == 1


def test_stage_b_has_nothing_to_do_with_an_empty_queue(lake, invoke):
    event = {"team": "engineering", "dataset": "meteorites"}
    assert invoke("stage-b-routing", event) == {"started": None, "waiting": 0}


def test_a_failed_batch_is_recorded_kept_and_redriven(lake, invoke):
    event = gather(lake, invoke, SAMPLES[:2])
    execution = invoke("stage-b-routing", event)["started"]
    batch = lake.executions()[0]["input"]
    for key in batch["keys"]:
        lake.s3.put_object(Bucket="stage", Key=key, Body=b"no csv")
    with pytest.raises(DataError):
        invoke("stage-b-process-data", batch)
    batch = invoke("stage-b-check-job", batch)
    assert batch["job"]["status"] == "FAILED"
    invoke("stage-b-error", batch)
    record = lake.record("octagon-PipelineExecutionHistory", execution)
    assert record["status"] == "FAILED"
    for key in batch["keys"]:
        noted = lake.record("octagon-ObjectMetadata", f"s3://stage/{key}")
        assert noted["error"].startswith(f"{key} is not the expected CSV")

    assert invoke("stage-b-redrive", event) == {"moved": 2}
    assert sorted(message["key"] for message in lake.messages("stage-b")) == batch["keys"]


def test_the_routing_functions_own_dead_letters_are_redriven(lake, invoke, monkeypatch):
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", lake.queues["stage-b-dlq"])
    lake.sqs.send_message(
        QueueUrl=lake.queues["stage-b-dlq"],
        MessageBody=json.dumps(notification("engineering/meteorites/x.json")),
        MessageGroupId="1",
        MessageDeduplicationId="1",
    )
    assert invoke("redrive-lambda", {}) == {"moved": 1}
    assert lake.messages("stage-a") == [notification("engineering/meteorites/x.json")]
