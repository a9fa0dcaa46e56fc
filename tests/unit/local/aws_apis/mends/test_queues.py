"""SQS: what consumers of standard and FIFO queues rely on."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kit.local_cloud import LocalCloud

ARN = "arn:aws:sqs:us-east-1:123456789012"


class Queue:
    """A queue of a test."""

    def __init__(self, cloud: LocalCloud, name: str, **attributes: str) -> None:
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        self.sqs = cloud.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, body: str, group: str = "", duplicate: str = "") -> dict[str, Any]:
        more = {"MessageGroupId": group} if group else {}
        if duplicate or group:
            more["MessageDeduplicationId"] = duplicate or body
        found: dict[str, Any] = self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **more)
        return found

    def receive(self, most: int = 10, **arguments: Any) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=most, AttributeNames=["All"], **arguments
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def bodies(self, most: int = 10, **arguments: Any) -> list[str]:
        return [each["Body"] for each in self.receive(most, **arguments)]

    def delete(self, message: dict[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def show(self, message: dict[str, Any], seconds: int) -> None:
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )

    def attribute(self, name: str) -> str | None:
        asked = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        found: str | None = asked["Attributes"].get(name)
        return found


def test_one_groups_messages_go_to_one_receiver_at_a_time(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "groups.fifo")
    for body in ("a1", "a2", "a3"):
        queue.send(body, "a")
    queue.send("b1", "b")
    [first] = queue.receive(1)
    assert first["Body"] == "a1"
    # a2 and a3 wait for a1; b does not.
    assert queue.bodies() == ["b1"]
    assert queue.bodies() == []
    queue.delete(first)
    assert queue.bodies(1) == ["a2"]
    assert queue.bodies() == []


def test_a_batch_holds_a_groups_messages_in_order(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "batch.fifo")
    for number in range(4):
        queue.send(str(number), "g")
    found = queue.receive()
    assert [each["Body"] for each in found] == ["0", "1", "2", "3"]
    numbers = [each["Attributes"]["SequenceNumber"] for each in found]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 4


def test_a_message_that_was_not_deleted_comes_again_and_its_group_with_it(
    cloud: LocalCloud,
) -> None:
    queue = Queue(cloud, "again.fifo", VisibilityTimeout="1")
    queue.send("a1", "a")
    queue.send("a2", "a")
    assert queue.bodies(1) == ["a1"]
    time.sleep(1.1)
    found = queue.receive()
    assert [each["Body"] for each in found] == ["a1", "a2"]
    assert found[0]["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_duplicate_is_accepted_and_not_delivered_even_after_the_first_is_gone(
    cloud: LocalCloud,
) -> None:
    queue = Queue(cloud, "twice.fifo")
    first = queue.send("x", "a", "same")
    again = queue.send("x", "a", "same")
    assert again["MessageId"] == first["MessageId"]
    [message] = queue.receive()
    queue.delete(message)
    queue.send("x", "a", "same")
    assert queue.bodies() == []
    queue.send("y", "a", "other")
    assert queue.bodies() == ["y"]


@pytest.mark.parametrize(("scope", "delivered"), [("queue", 1), ("messageGroup", 2)])
def test_duplicates_are_those_of_the_queue_or_of_a_group(
    cloud: LocalCloud, scope: str, delivered: int
) -> None:
    queue = Queue(cloud, f"scope-{scope}.fifo", DeduplicationScope=scope)
    queue.send("x", "a", "same")
    queue.send("x", "b", "same")
    assert len(queue.bodies()) == delivered


def test_by_content(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "content.fifo", ContentBasedDeduplication="true")
    for _ in range(2):
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody="x", MessageGroupId="g")
    assert queue.bodies() == ["x"]


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_what_is_received_too_often_is_moved_to_the_dead_letters(
    cloud: LocalCloud, suffix: str
) -> None:
    dead = Queue(cloud, f"dead{suffix}")
    policy = {"deadLetterTargetArn": f"{ARN}:dead{suffix}", "maxReceiveCount": 2}
    queue = Queue(cloud, f"tries{suffix}", RedrivePolicy=json.dumps(policy))
    group = "g" if suffix else ""
    queue.send("bad", group)
    queue.send("good", group)
    for _ in range(2):
        for message in queue.receive():
            if message["Body"] == "good":
                queue.delete(message)
            else:
                queue.show(message, 0)
    assert queue.bodies() == []
    [message] = dead.receive()
    assert message["Body"] == "bad"
    # The same message, put back by its consumer and failed once more, is not lost as a duplicate.
    dead.delete(message)
    queue.send("bad", group, "put back")
    for _ in range(2):
        [again] = queue.receive()
        queue.show(again, 0)
    assert queue.bodies() == []
    assert dead.bodies() == ["bad"]


def test_receivers_at_once_get_each_message_once(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "crowd")
    for start in range(0, 200, 10):
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)]
        queue.sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)

    def drain(_: int) -> list[str]:
        found: list[str] = []
        while batch := queue.receive():
            found += [each["Body"] for each in batch]
            for message in batch:
                queue.delete(message)
        return found

    with ThreadPoolExecutor(6) as pool:
        counts = Counter(body for part in pool.map(drain, range(6)) for body in part)
    assert counts == Counter(map(str, range(200)))


def test_old_receipt_handles(cloud: LocalCloud) -> None:
    fifo = Queue(cloud, "handles.fifo", VisibilityTimeout="1")
    fifo.send("x", "g")
    [late] = fifo.receive()
    time.sleep(1.1)
    with pytest.raises(fifo.sqs.exceptions.ClientError, match="The receipt handle has expired"):
        fifo.delete(late)
    assert fifo.bodies() == ["x"]

    standard = Queue(cloud, "handles", VisibilityTimeout="1")
    standard.send("x")
    [first] = standard.receive()
    time.sleep(1.1)
    [second] = standard.receive()
    standard.delete(first)  # somebody else has it now
    standard.show(second, 0)
    [third] = standard.receive()
    standard.delete(third)
    standard.delete(third)
    assert standard.bodies() == []
    with pytest.raises(standard.sqs.exceptions.ReceiptHandleIsInvalid):
        standard.delete({"ReceiptHandle": "never given"})


def test_visibility_can_be_changed_while_a_message_is_in_flight_only(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "flight")
    queue.send("x")
    [message] = queue.receive(VisibilityTimeout=60)
    assert queue.attribute("ApproximateNumberOfMessagesNotVisible") == "1"
    queue.show(message, 0)
    with pytest.raises(queue.sqs.exceptions.MessageNotInflight):
        queue.show(message, 10)
    assert queue.bodies() == ["x"]


def test_a_long_poll_ends_with_the_first_message(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "long")
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        waiting = pool.submit(queue.bodies, WaitTimeSeconds=10)
        time.sleep(0.5)
        queue.send("x")
        assert waiting.result() == ["x"]
    assert 0.4 < time.monotonic() - started < 3
    started = time.monotonic()
    assert queue.bodies(WaitTimeSeconds=1) == []
    assert 0.9 < time.monotonic() - started < 2


def test_delayed_messages(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "delayed")
    queue.sqs.send_message(QueueUrl=queue.url, MessageBody="x", DelaySeconds=1)
    assert queue.bodies() == []
    assert queue.bodies(WaitTimeSeconds=3) == ["x"]


def test_one_attribute_changes_no_other(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "policy")
    policy = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}]})
    queue.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": policy})
    queue.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "7"})
    assert json.loads(queue.attribute("Policy") or "{}")["Statement"][0]["Action"] == "sqs:*"
    queue.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": ""})
    assert queue.attribute("Policy") is None
    assert queue.attribute("VisibilityTimeout") == "7"


def test_a_queue_that_is_deleted_while_somebody_waits(cloud: LocalCloud) -> None:
    queue = Queue(cloud, "going")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.bodies, WaitTimeSeconds=10)
        time.sleep(0.3)
        queue.sqs.delete_queue(QueueUrl=queue.url)
        with pytest.raises(queue.sqs.exceptions.QueueDoesNotExist):
            waiting.result(timeout=5)
