"""Records in DynamoDB, by Python's own types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datalake_library.interfaces.clients import table


def get(name: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    return table(name).get_item(Key=dict(key), ConsistentRead=True).get("Item")


def update(
    name: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Set attributes, those of ``first`` only where they are not set yet; returns the record.

    Writing the same twice gives what writing it once gives.
    """
    first = first or {}
    names = [*values, *first]
    settings = [f"#{index} = :{index}" for index in range(len(values))]
    settings += [
        f"#{index} = if_not_exists(#{index}, :{index})" for index in range(len(values), len(names))
    ]
    answer = table(name).update_item(
        Key=dict(key),
        UpdateExpression="SET " + ", ".join(settings),
        ExpressionAttributeNames={f"#{index}": attribute for index, attribute in enumerate(names)},
        ExpressionAttributeValues={
            f":{index}": value for index, value in enumerate([*values.values(), *first.values()])
        },
        ReturnValues="ALL_NEW",
    )
    return answer["Attributes"]
