"""The configuration records of the lake's tables, loaded and told as calls of the AWS CLI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci import aws
from ci.errors import InputError
from ci.sample.lake import TABLES, Lake

_KEY = "name"


@dataclass(frozen=True)
class Record:
    """A record in DynamoDB's JSON, and its table: one of ``TABLES``."""

    table: str
    item: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.item[_KEY]["S"])


def read(directory: Path) -> list[Record]:
    """The records below a directory: ``octagon-TABLE/*.json``, plain JSON, one a file.

    Raises InputError for what is none.
    """
    found = [
        _record(table, file)
        for table in TABLES
        for file in sorted((directory / f"octagon-{table}").glob("*.json"))
    ]
    if not found:
        what = "holds no records: no octagon-Pipelines/*.json, no octagon-Datasets/*.json"
        raise InputError(str(directory), what, "name another source tree with --source")
    return found


def _record(table: str, file: Path) -> Record:
    try:
        # Numbers as text, with the digits that they have.
        item = json.loads(file.read_text(encoding="utf-8"), parse_int=_Number, parse_float=_Number)
    except (OSError, ValueError) as error:
        raise InputError(str(file), f"is no JSON file: {error}", "mend or remove it") from error
    if not isinstance(item, dict) or type(item.get(_KEY)) is not str:
        raise InputError(str(file), f"is no JSON object with a {_KEY}", "mend or remove it")
    return Record(table, {name: typed(value) for name, value in item.items()})


class _Number(str):
    """The text of a number in JSON."""

    __slots__ = ()


def typed(value: Any) -> dict[str, Any]:
    """A value of JSON as DynamoDB's JSON. Source: DynamoDB API Reference, AttributeValue."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case _Number():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [typed(each) for each in value]}
    return {"M": {name: typed(each) for name, each in value.items()}}


def call(record: Record, lake_table: str) -> str:
    """The ``aws dynamodb put-item`` call that loads a record."""
    item = json.dumps(record.item, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    quoted = item.replace("'", "'\\''")
    return f"aws dynamodb put-item --table-name {lake_table} --item '{quoted}'"


def load(lake: Lake, record: Record) -> bool:
    """Put a record into its table. False where one of its name is there already: what runs have
    written into it stays."""
    dynamodb = lake.client("dynamodb")
    with aws.explained("Amazon DynamoDB", "dynamodb:PutItem"):
        try:
            dynamodb.put_item(
                TableName=lake.table(record.table),
                Item=record.item,
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": _KEY},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
    return True


def drop(lake: Lake, record: Record) -> None:
    """Delete a record."""
    with aws.explained("Amazon DynamoDB", "dynamodb:DeleteItem"):
        lake.client("dynamodb").delete_item(
            TableName=lake.table(record.table), Key={_KEY: record.item[_KEY]}
        )
