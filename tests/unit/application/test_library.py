import json

import pytest
from datalake_library import items
from datalake_library.configuration import datasets, queues
from datalake_library.configuration.settings import setting
from datalake_library.errors import ConfigurationError, DataError
from datalake_library.interfaces import s3, sqs


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


def test_a_failure_fails_the_rest_of_the_batch_and_not_what_came_before(capsys):
    def handle(record):
        if record["messageId"] == "2":
            raise ValueError("no")

    answer = sqs.each({"Records": [{"messageId": str(n)} for n in (1, 2, 3)]}, handle)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]}
    assert json.loads(capsys.readouterr().out) == {"message": "2", "failed": "ValueError('no')"}


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
