"""Messages in SQS queues; their bodies are JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from datalake_library.interfaces.clients import client

BATCH = 10  # what SQS gives or takes in one call


@dataclass(frozen=True)
class Message:
    id: str
    receipt: str
    body: str
    group: str


def send(url: str, body: str, *, group: str, unique: str) -> None:
    """Send a message.

    A FIFO queue gives a group's messages in order, and to one receiver at a time; a message with
    the same ``unique`` it takes once in five minutes. A standard queue knows neither.
    """
    is_fifo = url.endswith(".fifo")
    fifo = {"MessageGroupId": group, "MessageDeduplicationId": unique} if is_fifo else {}
    client("sqs").send_message(QueueUrl=url, MessageBody=body, **fifo)


def receive(url: str, limit: int) -> list[Message]:
    """Up to ``limit`` messages, as far as the queue gives them at once."""
    messages: dict[str, Message] = {}
    while len(messages) < limit:
        answer = client("sqs").receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(BATCH, limit - len(messages)),
            AttributeNames=["MessageGroupId"],
        )
        if not (received := answer.get("Messages")):
            break
        for message in received:
            group = message.get("Attributes", {}).get("MessageGroupId", "")
            messages[message["MessageId"]] = Message(
                message["MessageId"], message["ReceiptHandle"], message["Body"], group
            )
    return list(messages.values())


def delete(url: str, messages: list[Message]) -> None:
    for message in messages:
        client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message.receipt)


def release(url: str, messages: list[Message]) -> None:
    """Give messages back for others to receive now rather than after their visibility time-out."""
    for message in messages:
        client("sqs").change_message_visibility(
            QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=0
        )


def move(source: str, target: str, limit: int = 1000) -> int:
    """Move messages from one queue to another, such as from a dead-letter queue; how many.

    Each is sent before it is deleted: a crash between the two moves it twice, and never loses it.
    In a FIFO target the old message's id is the new one's deduplication id. The original one would
    make SQS swallow a message that is put back within five minutes of its first sending.
    """
    moved = 0
    while moved < limit and (messages := receive(source, min(BATCH, limit - moved))):
        for message in messages:
            send(target, message.body, group=message.group, unique=message.id)
        delete(source, messages)
        moved += len(messages)
    return moved


def each(
    event: Mapping[str, Any], handle: Callable[[dict[str, Any]], None]
) -> dict[str, list[dict[str, str]]]:
    """Handle each message of a Lambda event; the answer names those that failed.

    The event source needs ReportBatchItemFailures. In a FIFO queue the later messages of the same
    group count as failed too, for their order; nobody else is held up.
    """
    failed: list[str] = []
    groups: set[str] = set()
    for record in event["Records"]:
        group = record.get("attributes", {}).get("MessageGroupId", "")
        try:
            if group in groups:
                raise RuntimeError("an earlier message of its group failed")
            handle(record)
        except Exception as error:
            print(json.dumps({"message": record["messageId"], "failed": repr(error)}))
            failed.append(record["messageId"])
            groups |= {group} - {""}
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
