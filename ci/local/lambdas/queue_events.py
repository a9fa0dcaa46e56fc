"""SQS messages as Lambda hands them to a function, and what its answer says of them.

Source: "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source in Lambda",
AWS Lambda Developer Guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ci.local.lambdas.runtime_api import Result

_LISTS = {"StringValue": "stringValue", "BinaryValue": "binaryValue", "DataType": "dataType"}


def event(messages: Iterable[Mapping[str, Any]], queue_arn: str) -> bytes:
    """The event of a batch, of messages as ReceiveMessage gives them."""
    return json.dumps({"Records": [_record(each, queue_arn) for each in messages]}).encode()


def _record(message: Mapping[str, Any], queue_arn: str) -> dict[str, Any]:
    attributes = {
        name: {
            **{ours: value[theirs] for theirs, ours in _LISTS.items() if theirs in value},
            "stringListValues": [],
            "binaryListValues": [],
        }
        for name, value in (message.get("MessageAttributes") or {}).items()
    }
    digest = message.get("MD5OfMessageAttributes")
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": attributes,
        **({"md5OfMessageAttributes": digest} if digest else {}),
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }


def failed(result: Result, ids: set[str], *, single: bool) -> set[str]:
    """The ids of a batch that count as failed.

    ``single``: the function reports single messages (ReportBatchItemFailures). An answer that
    makes no sense then fails the batch: bad JSON, no id, an id that was not in the batch.
    """
    if not result.ok:
        return ids
    if not single:
        return set()
    try:
        answer = json.loads(result.payload or b"null")
    except ValueError:
        return ids
    if answer is None or answer == {}:
        return set()
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else ""
    if items is None:
        return set()
    if not isinstance(items, list):
        return ids
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    if all(isinstance(name, str) and name in ids for name in named):
        return {str(name) for name in named}
    return ids
