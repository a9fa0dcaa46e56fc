"""Every state in which an object can be, and the sum of all."""

import json
import time

import pytest

from ci.errors import PipelineError
from ci.sample import accounting
from ci.sample.accounting import CONVERTED, FAILED, QUEUED, UNACCOUNTED, WORKING
from ci.sample.lake import find

KEY = "engineering/meteorites/x.json"
CSV = "pre-stage/engineering/meteorites/x.csv"


def only(lab):
    [entry] = accounting.take(lab.lake).entries
    return entry.kind, entry.detail


def notification(url):
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}


def staged(lab, status, **facts):
    """An object that stage A is done with; its CSV's URL."""
    url = lab.put(KEY)
    csv = lab.put(CSV, lab.lake.stage)
    lab.record(url, "COMPLETED", result=csv)
    lab.record(csv, status, **facts)
    return csv


def test_a_converted_object_is_one_whose_result_is_there(lab):
    lab.converted("x")
    assert only(lab) == (CONVERTED, "s3://stage/post-stage/engineering/meteorites/e.parquet")
    lab.client("s3").delete_object(
        Bucket="stage", Key="post-stage/engineering/meteorites/e.parquet"
    )
    kind, detail = only(lab)
    assert (kind, detail.endswith("e.parquet is not there")) == (UNACCOUNTED, True)


def test_an_object_that_nobody_has_taken_up_is_queued_if_a_queue_has_it(lab):
    url = lab.put(KEY)
    assert only(lab)[0] == UNACCOUNTED
    lab.send("routing", notification(url))
    assert only(lab) == (QUEUED, "routing")


def test_a_message_that_somebody_has_received_still_counts(lab):
    url = lab.put(KEY)
    lab.send("routing", notification(url))
    lab.client("sqs").receive_message(QueueUrl=lab.queues["routing"])
    assert only(lab) == (QUEUED, "routing")


def test_an_object_before_stage_a(lab):
    url = lab.put(KEY)
    lab.record(url, "STARTED")
    kind, detail = only(lab)
    assert kind == UNACCOUNTED
    assert "its record says STARTED" in detail
    lab.send("engineering-main-stage-a", {"bucket": "central", "key": KEY})
    assert only(lab) == (QUEUED, "stage a")


def test_an_object_that_an_execution_has(lab):
    url = lab.put(KEY)
    lab.record(url, "PROCESSING", execution="e1")
    lab.start("e1", {"bucket": "central", "key": KEY})
    assert only(lab) == (WORKING, "stage a")


def test_an_object_before_stage_b(lab):
    staged(lab, "STARTED")
    assert only(lab)[0] == UNACCOUNTED
    lab.send("engineering-meteorites-stage-b", {"bucket": "stage", "key": CSV})
    assert only(lab) == (QUEUED, "stage b")


def test_an_object_in_a_batch(lab):
    staged(lab, "STARTED")
    lab.start("e1", {"bucket": "stage", "keys": ["other", CSV]})
    assert only(lab) == (WORKING, "stage b")


@pytest.mark.parametrize("half", ["first", "second"])
def test_a_failed_object_has_its_reason(lab, half):
    if half == "first":
        lab.record(lab.put(KEY), "FAILED", error="lacks id")
    else:
        staged(lab, "FAILED", error="lacks id")
    assert only(lab) == (FAILED, "lacks id")


@pytest.mark.parametrize(
    ("queue", "status"),
    [("routing", None), ("engineering-main-stage-a", "STARTED"),
     ("engineering-meteorites-stage-b", "COMPLETED")],
)  # fmt: skip
def test_a_dead_letter_without_a_record_is_failed_and_stays_where_it_is(lab, queue, status):
    url = lab.put(KEY)
    body = {"bucket": "central", "key": KEY}
    if status == "COMPLETED":
        staged(lab, "STARTED")
        body = {"bucket": "stage", "key": CSV}
    elif status:
        lab.record(url, status)
    else:
        body = notification(url)
    lab.send(f"{queue}-dlq", body)
    for _ in range(2):
        kind, detail = only(lab)
        assert kind == FAILED
        assert detail.startswith(f"in dev-datalake-{queue}-dlq")
    received = lab.client("sqs").receive_message(QueueUrl=lab.queues[f"{queue}-dlq"])
    assert json.loads(received["Messages"][0]["Body"]) == body


def test_many_dead_letters_are_all_looked_at(lab):
    for number in range(25):
        url = lab.put(f"engineering/meteorites/{number}.json")
        lab.send("routing-dlq", notification(url))
    account = accounting.take(lab.lake)
    assert account.counts == {FAILED: 25}
    assert account.proved


def test_an_execution_that_failed_without_a_word_in_the_tables(lab):
    url = lab.put(KEY)
    lab.record(url, "PROCESSING", execution="e1")
    arn = lab.start("e1", {"bucket": "central", "key": KEY})
    states = lab.client("stepfunctions")
    states.stop_execution(executionArn=arn, error="E", cause="why")
    deadline = time.monotonic() + 10
    while states.describe_execution(executionArn=arn)["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kind, detail = only(lab)
    assert kind == FAILED
    assert detail.startswith("its execution e1 ended ABORTED")


def test_what_a_queue_does_not_hold_is_unaccounted_for(lab):
    for number in range(3):
        url = lab.put(f"engineering/meteorites/{number}.json")
        if number:
            lab.send("routing", notification(url))
    account = accounting.take(lab.lake)
    assert account.counts == {UNACCOUNTED: 3}  # which of them it is, nobody can tell
    assert not account.proved
    assert "the queues of routing hold 2 for 3 like it" in account.entries[0].detail


def test_the_sum_is_that_of_all_objects_and_folders_are_none(lab):
    lab.converted("a")
    lab.record(lab.put("engineering/meteorites/b.json"), "FAILED", error="no")
    url = lab.put("physics/x y+ä.json")
    lab.send("routing", notification(url))
    lab.put("engineering/")
    account = accounting.take(lab.lake)
    assert account.counts == {CONVERTED: 1, FAILED: 1, QUEUED: 1}
    told = accounting.text(account)
    assert "3 of 3 uploaded" in told
    assert "✗ engineering/meteorites/b.json failed: no" in told
    document = account.as_json()
    assert document["uploaded"] == sum(document[kind] for kind in accounting.KINDS) == 3


def test_of_many_objects_only_those_are_told_that_did_not_go_well(lab):
    for number in range(5):
        lab.converted(str(number))
    lab.record(lab.put("engineering/meteorites/b.json"), "FAILED", error="no")
    told = accounting.text(accounting.take(lab.lake), most=3)
    assert "✗ engineering/meteorites/b.json failed: no" in told
    assert "0.json" not in told


def test_only_objects_below_a_prefix(lab):
    lab.converted("a")
    lab.put("physics/x.json")
    assert accounting.take(lab.lake, "engineering/").counts == {CONVERTED: 1}


def test_a_lake_that_is_not_deployed(lab):
    with pytest.raises(PipelineError, match="data lake stg: is not deployed"):
        find(lab.lake.cloud, "stg")
