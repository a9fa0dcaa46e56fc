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
    lake.s3.put_object(Bucket="stage", Key=batch["keys"][1], Body=b"no csv")
    with pytest.raises(DataError):
        invoke("stage-b-process-data", batch)
    batch = invoke("stage-b-check-job", batch)
    assert batch["job"]["status"] == "FAILED"
    invoke("stage-b-error", batch)
    record = lake.record("octagon-PipelineExecutionHistory", execution)
    assert record["status"] == "FAILED"
    assert batch["keys"][1] in record["error"]

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
