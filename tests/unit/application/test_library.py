import json

import pytest
from datalake_library import items, octagon
from datalake_library.configuration import datasets, queues
from datalake_library.configuration.settings import setting
from datalake_library.errors import ConfigurationError, DataError
from datalake_library.interfaces import dynamo, s3, sqs


def s3_record(key="a/b/c.json", **facts):
    return {"s3": {"bucket": {"name": "central"}, "object": {"key": key, **facts}}}


@pytest.mark.parametrize(
    "event",
    [
        {"Records": [s3_record("a/b/c+d%2B%C3%A4.json", eTag="1", sequencer="2")]},
        {
            "detail": {
                "bucket": {"name": "central"},
                "object": {"key": "a/b/c d+ä.json", "etag": "1", "sequencer": "2"},
            }
        },
    ],
)
@pytest.mark.parametrize("in_message", [False, True])
def test_created_objects_of_every_kind_of_event(event, in_message):
    if in_message:
        event = {"Records": [{"messageId": "m", "body": json.dumps(event)}]}
    assert s3.created(event) == [s3.Object("central", "a/b/c d+ä.json", "1-2")]


def test_folders_made_in_the_console_and_s3s_test_event_name_no_object():
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "central"}
    message = {"messageId": "m", "body": json.dumps(test_event)}
    assert s3.created({"Records": [s3_record("engineering/meteorites/"), message]}) == []


@pytest.mark.parametrize("key", ["x.json", "team/x.json", "/dataset/x.json", "team//x.json", ""])
def test_a_key_outside_of_a_teams_folders_is_a_data_error(key):
    with pytest.raises(DataError, match="is not below a folder TEAM/DATASET/"):
        datasets.of_key(key)


def test_a_key_may_have_folders_of_its_own():
    assert datasets.of_key("team/dataset/2020/01/x.json") == ("team", "dataset")


def test_a_dataset_comes_from_its_record(lake):
    dataset = datasets.load("engineering", "meteorites")
    assert dataset.stage_a_transform == "light_transform_blueprint"
    assert (dataset.pipeline, dataset.min_items, dataset.max_items) == ("main", 1, 250)


def test_an_unknown_or_incomplete_dataset_is_a_configuration_error(lake):
    with pytest.raises(ConfigurationError, match="octagon-Datasets-dev has no dataset a-b"):
        datasets.load("a", "b")
    lake.table("octagon-Datasets").put_item(Item={"name": "a-b", "pipeline": "main"})
    with pytest.raises(ConfigurationError, match="dataset a-b is incomplete: KeyError"):
        datasets.load("a", "b")


def test_a_missing_setting_or_parameter_is_named(lake):
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE is not set"):
        setting("NO_SUCH_VARIABLE")
    with pytest.raises(ConfigurationError, match="no SSM parameter /DataLake/x/main/StageAQueue"):
        queues.stage_a("x", "main")


def item(**changes):
    core = {"bucket": "b", "key": "k", "team": "t", "dataset": "d", "pipeline": "p"}
    return {**core, **changes}


def test_an_item_is_queued_once_for_each_unique_sending(lake):
    for unique in ("1", "1", "2"):
        items.send(lake.queues["stage-a"], item(execution="not sent"), unique)
    assert lake.messages("stage-a") == [item(), item()]


def test_items_of_different_keys_do_not_wait_for_each_other(lake):
    for key in "abc":
        items.send(lake.queues["stage-a"], item(key=key), "1")
    received = sqs.receive(lake.queues["stage-a"], 100)
    assert len({message.group for message in received}) == 3


def test_moving_takes_all_and_keeps_groups(lake):
    for number in range(25):
        items.send(lake.queues["stage-a-dlq"], item(key=f"{number}"), "1")
    assert sqs.move(lake.queues["stage-a-dlq"], lake.queues["stage-a"]) == 25
    assert lake.messages("stage-a-dlq") == []
    moved = sqs.receive(lake.queues["stage-a"], 100)
    assert {message.group for message in moved} == {items.digest("b", str(n)) for n in range(25)}


def test_released_messages_can_be_received_again_at_once(lake):
    items.send(lake.queues["stage-a"], item(), "1")
    first = sqs.receive(lake.queues["stage-a"], 10)
    assert sqs.receive(lake.queues["stage-a"], 10) == []
    sqs.release(lake.queues["stage-a"], first)
    assert [m.id for m in sqs.receive(lake.queues["stage-a"], 10)] == [first[0].id]


def batch(*messages):
    """A Lambda event of pairs: a message's id and, in a FIFO queue, its group."""
    return {
        "Records": [
            {"messageId": id_, "attributes": {"MessageGroupId": group} if group else {}}
            for id_, group in messages
        ]
    }


def failing(*ids):
    def handle(record):
        if record["messageId"] in ids:
            raise ValueError("no")

    return handle


def failures(answer):
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def test_a_message_that_fails_in_a_standard_queue_holds_up_no_other(capsys):
    answer = sqs.each(batch(("1", ""), ("2", ""), ("3", ""), ("4", "")), failing("2", "4"))
    assert failures(answer) == ["2", "4"]
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0] == {"message": "2", "failed": "ValueError('no')"}


def test_in_a_fifo_queue_the_later_ones_of_a_failed_messages_group_fail_too():
    event = batch(("1", "a"), ("2", "b"), ("3", "a"), ("4", "b"), ("5", "c"))
    assert failures(sqs.each(event, failing("2"))) == ["2", "4"]
    assert failures(sqs.each(event, failing())) == []


def record(lake, url="s3://b/k"):
    return lake.record("octagon-ObjectMetadata", url)


def test_a_version_of_an_object_begins_its_way_once(lake):
    url = "s3://b/k"
    assert octagon.start(url, "1", dataset="d")
    assert octagon.start(url, "1")  # nobody took it up yet: it may have got lost
    for status in octagon.MOVED_ON:
        octagon.note(url, status)
        assert not octagon.start(url, "1", dataset="other")
        assert (record(lake)["status"], record(lake)["dataset"]) == (status, "d")
    assert octagon.start(url, "2")
    assert (record(lake)["status"], record(lake)["version"]) == ("STARTED", "2")


def test_an_object_without_a_version_always_begins_anew(lake):
    for _ in range(2):
        assert octagon.start("s3://b/k", "")
        octagon.note("s3://b/k", octagon.COMPLETED)


def test_the_first_claim_of_a_result_stays(lake):
    assert octagon.claim("s3://b/k", "first") == "first"
    assert octagon.claim("s3://b/k", "second") == "first"
    assert record(lake)["result"] == "first"


def test_what_a_record_has_in_part_is_no_reason_not_to_write(lake):
    table = "octagon-ObjectMetadata-dev"
    dynamo.update(table, {"id": "k"}, {"a": 1, "b": 2})
    assert dynamo.update(table, {"id": "k"}, {"c": 3}, unless={"a": [1], "b": [3]})["c"] == 3
    assert dynamo.update(table, {"id": "k"}, {"c": 4}, unless={"a": [0, 1], "b": [2]}) is None
    assert record(lake, "k")["c"] == 3


def test_an_object_that_is_not_there_is_none_among_the_others(lake):
    lake.s3.put_object(Bucket="stage", Key="a", Body=b"1")
    assert list(s3.read_all("stage", ["a", "b"])) == [("a", b"1"), ("b", None)]


def test_an_object_is_made_of_what_is_there_whoever_writes_it_meanwhile(lake):
    meanwhile = [b"1", b"2"]

    def append(present):
        content = (present or b"") + b"x"
        if meanwhile:
            lake.s3.put_object(Bucket="stage", Key="k", Body=meanwhile.pop(0))
        return content

    s3.put_into("stage", "k", append, "text/plain")
    assert s3.read("stage", "k") == b"2x"


def test_an_object_that_changes_all_the_time_is_an_error(lake):
    count = iter(range(100))

    def overtaken(_present):
        lake.s3.put_object(Bucket="stage", Key="k", Body=f"{next(count)}")
        return b"mine"

    with pytest.raises(RuntimeError, match="s3://stage/k changes all the time"):
        s3.put_into("stage", "k", overtaken, "text/plain")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"Error": "DataError", "Cause": '{"errorMessage": "x: bad"}'}, "DataError: x: bad"),
        ({"Error": "States.Timeout", "Cause": "not JSON"}, "States.Timeout: not JSON"),
        ({"Error": "E", "Cause": "[1]"}, "E: [1]"),
        ({"Error": "E"}, "E: "),
        ({}, "Unknown: "),
    ],
)
def test_reasons_come_from_whatever_a_catch_gives(error, reason):
    assert items.reason(error) == reason
