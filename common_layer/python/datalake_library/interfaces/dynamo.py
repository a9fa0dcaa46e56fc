"""Records in DynamoDB, by Python's own types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from datalake_library.interfaces.clients import table


def get(name: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    return table(name).get_item(Key=dict(key), ConsistentRead=True).get("Item")


def update(
    name: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
    unless: Mapping[str, Collection[Any]] | None = None,
) -> dict[str, Any] | None:
    """Set attributes, those of ``first`` only where they are not set yet; returns the record.

    Where every attribute of ``unless`` has one of the values given for it, nothing is written and
    None returned. Writing the same twice gives what writing it once gives.
    """
    first, unless = first or {}, unless or {}
    names = [*values, *first]
    settings = [f"#{index} = :{index}" for index in range(len(values))]
    settings += [
        f"#{index} = if_not_exists(#{index}, :{index})" for index in range(len(values), len(names))
    ]
    tests, named, given = [], {}, {}
    for index, (attribute, wanted) in enumerate(unless.items()):
        named[f"#u{index}"] = attribute
        asked = {f":u{index}_{number}": value for number, value in enumerate(wanted)}
        given |= asked
        tests.append(f"#u{index} IN ({', '.join(asked)})")
    condition = {"ConditionExpression": f"NOT ({' AND '.join(tests)})"} if tests else {}
    try:
        answer = table(name).update_item(
            Key=dict(key),
            UpdateExpression="SET " + ", ".join(settings),
            ExpressionAttributeNames={f"#{i}": attribute for i, attribute in enumerate(names)}
            | named,
            ExpressionAttributeValues={
                f":{i}": value for i, value in enumerate([*values.values(), *first.values()])
            }
            | given,
            ReturnValues="ALL_NEW",
            **condition,
        )
    except table(name).meta.client.exceptions.ConditionalCheckFailedException:
        return None
    return answer["Attributes"]
