import json
import shlex
import subprocess
from pathlib import Path

import pytest

from ci.errors import InputError
from ci.sample import records
from ci.sample.lake import plain

SAMPLE = Path(__file__).parents[3] / "sample_data"


def test_the_three_records_are_told_in_the_seeds_order_and_words():
    found = records.read(SAMPLE)
    assert [(each.table, each.name) for each in found] == [
        ("Pipelines", "engineering-main-post-stage"),
        ("Pipelines", "engineering-main-pre-stage"),
        ("Datasets", "engineering-meteorites"),
    ]
    assert records.call(found[2], "octagon-Datasets-dev") == (
        "aws dynamodb put-item --table-name octagon-Datasets-dev --item "
        '\'{"classification":{"S":"Orange"},"description":{"S":"Meteorites Name, Location and '
        'Classification"},"frequency":{"S":"DAILY"},"max_items_process":{"N":"250"},'
        '"min_items_process":{"N":"1"},"name":{"S":"engineering-meteorites"},"owner":{"S":"NASA"},'
        '"owner_contact":{"S":"nasa@edu.org"},"pipeline":{"S":"main"},"tags":{"L":[{"M":{"key":'
        '{"S":"cost"},"value":{"S":"meteorites division"}}}]},"transforms":{"M":'
        '{"stage_a_transform":{"S":"light_transform_blueprint"},"stage_b_transform":{"S":'
        '"heavy_transform_blueprint"}}},"type":{"S":"TRANSACTIONAL"},"version":{"N":"1"}}\''
    )
    assert '"last_execution_duration_in_seconds":{"N":"570.559"}' in records.call(found[0], "t")


def write(tmp_path, text, table="Datasets"):
    file = tmp_path / f"octagon-{table}" / "r.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return tmp_path


def test_every_kind_of_json_becomes_dynamodbs(tmp_path):
    text = '{"name": "n", "a": [1, -2.50, 1e3, true, null, {"b": ""}], "c": {}, "d": "1"}'
    [record] = records.read(write(tmp_path, text))
    assert record.item == {
        "name": {"S": "n"},
        "a": {"L": [{"N": "1"}, {"N": "-2.50"}, {"N": "1e3"}, {"BOOL": True}, {"NULL": True},
                    {"M": {"b": {"S": ""}}}]},
        "c": {"M": {}},
        "d": {"S": "1"},
    }  # fmt: skip
    assert plain({"M": record.item})["a"][3:] == [True, None, {"b": ""}]


def test_a_shell_reads_the_call_as_it_is_meant(tmp_path):
    text = json.dumps({"name": "it's", "owner": 'ä "b" $HOME `x` \\ \''}, ensure_ascii=False)
    [record] = records.read(write(tmp_path, text))
    call = records.call(record, "t")
    *_, item = shlex.split(call)
    assert json.loads(item) == record.item
    script = call.replace("aws dynamodb", "printf '%s\\n' dynamodb", 1)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == record.item


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"name": 1}', '"name"'])
def test_what_is_no_record_is_named(tmp_path, text):
    with pytest.raises(InputError, match=r"octagon-Datasets/r\.json: is no JSON"):
        records.read(write(tmp_path, text))


def test_a_directory_without_records(tmp_path):
    with pytest.raises(InputError, match="holds no records"):
        records.read(tmp_path)


def test_loading_twice_keeps_what_runs_have_written(lab):
    found = records.read(SAMPLE)
    assert [records.load(lab.lake, record) for record in found] == [True] * 3
    dynamodb, table = lab.client("dynamodb"), lab.lake.table("Pipelines")
    key = {"name": {"S": "engineering-main-pre-stage"}}
    dynamodb.update_item(
        TableName=table, Key=key, UpdateExpression="SET last_execution_id = :new",
        ExpressionAttributeValues={":new": {"S": "new"}},
    )  # fmt: skip
    assert [records.load(lab.lake, record) for record in found] == [False] * 3
    item = dynamodb.get_item(TableName=table, Key=key)["Item"]
    assert item["last_execution_id"] == {"S": "new"}
    records.drop(lab.lake, found[1])
    assert records.load(lab.lake, found[1])
    item = dynamodb.get_item(TableName=table, Key=key)["Item"]
    assert item == found[1].item
