"""moto's SQS, with what consumers rely on.

moto hands a message to two receivers at once, forgets a duplicate as soon as the first one is
deleted, drops a queue's policy when another attribute is set, takes expired receipt handles, and
invokes functions by itself. Sources: Amazon SQS Developer Guide, "FIFO queue delivery logic",
"Using the message deduplication ID", "Amazon SQS visibility timeout", "Using dead-letter queues";
Amazon SQS API Reference, DeleteMessage and ChangeMessageVisibility.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from typing import Any

_DEDUPLICATION_MS = 300_000
_REMEMBERED = 100_000
"""Receipt handles of deleted messages that are known as such."""


def _ready(message: Any, now_ms: float) -> bool:
    return bool(message.visible_at < now_ms and message.delayed_until <= now_ms)


def install() -> None:
    """Puts queues of our kind in the place of moto's."""
    from moto.sqs import models
    from moto.sqs.exceptions import ReceiptHandleIsInvalid, SQSException

    class LocalQueue(models.Queue):
        """A queue; everything that looks at its messages holds ``_messages_lock``."""

        def __init__(self, name: str, region: str, account_id: str, **kwargs: Any) -> None:
            self._recent: OrderedDict[tuple[str, str], tuple[float, Any]] = OrderedDict()
            self._gone: OrderedDict[str, None] = OrderedDict()
            self._sequence = 0
            super().__init__(name, region, account_id, **kwargs)

        def _set_attributes(self, attributes: dict[str, Any], now: float | None = None) -> None:
            if "Policy" not in attributes:
                attributes = {**attributes, "Policy": self.policy}
            super()._set_attributes(attributes, now)

        # moto counts for every message that is sent, and asks the clock for every one it counts.
        @property
        def approximate_number_of_messages(self) -> int:
            now = time.time() * 1000
            return sum(1 for each in self._messages if _ready(each, now))

        @property
        def approximate_number_of_messages_delayed(self) -> int:
            now = time.time() * 1000
            return sum(1 for each in self._messages if each.delayed_until > now)

        @property
        def approximate_number_of_messages_not_visible(self) -> int:
            now = time.time() * 1000
            return sum(1 for each in self._messages if each.visible_at > now)

        def add_message(self, message: Any) -> None:
            with self._messages_lock:
                if self.fifo_queue and (earlier := self._earlier(message)):
                    # Accepted, and not delivered again.
                    message.id, message.sequence_number = earlier.id, earlier.sequence_number
                    return
                self._append(message)

        def _append(self, message: Any) -> None:
            if self.fifo_queue:
                self._sequence += 1
                message.sequence_number = f"{self._sequence:020d}"
            self._messages.append(message)
            self._messages_lock.notify_all()

        def _earlier(self, message: Any) -> Any:
            """The message that this one repeats, within five minutes, deleted or not."""
            now = time.time() * 1000
            while self._recent and next(iter(self._recent.values()))[0] < now - _DEDUPLICATION_MS:
                self._recent.popitem(last=False)
            grouped = self.deduplication_scope == "messageGroup"  # type: ignore[attr-defined]
            key = (message.group_id if grouped else "", message.deduplication_id)
            if key in self._recent:
                return self._recent[key][1]
            self._recent[key] = (now, message)
            return None

        def take(self, count: int, visible_s: int) -> list[Any]:
            """Up to ``count`` messages for one receiver. One group's messages go to one receiver
            at a time, in their order."""
            with self._messages_lock:
                now = time.time() * 1000
                self._expire(now)
                busy = {each.group_id for each in self._messages if self._in_flight(each, now)}
                found: list[Any] = []
                for message in list(self._messages):
                    if len(found) == count:
                        break
                    if not _ready(message, now):
                        continue
                    if self.fifo_queue and message.group_id in busy:
                        continue
                    if self._is_dead(message):
                        self._bury(message)
                        continue
                    message.mark_received(visibility_timeout=visible_s)
                    found.append(copy.copy(message))
                return found

        def _in_flight(self, message: Any, now: float) -> bool:
            return bool(message.approximate_receive_count > 0 and message.visible_at > now)

        def _expire(self, now: float) -> None:
            kept_ms = self.message_retention_period * 1000  # type: ignore[attr-defined]
            for message in [m for m in self._messages if m.sent_timestamp + kept_ms <= now]:
                self._messages.remove(message)

        def _is_dead(self, message: Any) -> bool:
            if self.dead_letter_queue is None or not self.redrive_policy:
                return False
            most = int(self.redrive_policy["maxReceiveCount"])
            return bool(message.approximate_receive_count >= most)

        def _bury(self, message: Any) -> None:
            self._messages.remove(message)
            message.visible_at = message.delayed_until = 0.0
            # Never a duplicate there: a message that comes back a second time is not lost.
            target: Any = self.dead_letter_queue
            with target._messages_lock:
                target._append(message)

        def wait(self, seconds: float) -> None:
            """Until something may have come, or become visible."""
            with self._messages_lock:
                self._messages_lock.wait(min(seconds, 0.25))

        def delete_message(self, receipt_handle: str) -> None:
            with self._messages_lock:
                if receipt_handle in self._gone:
                    return
                message = self._received(receipt_handle)
                if message.receipt_handle != receipt_handle or not self._in_flight(
                    message, time.time() * 1000
                ):
                    if self.fifo_queue:
                        raise SQSException(
                            "InvalidParameterValue",
                            f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                            "Reason: The receipt handle has expired.",
                        )
                    if message.receipt_handle != receipt_handle:
                        # Somebody else has received it since: the request succeeds, no more.
                        return
                self._messages.remove(message)
                self._gone.update(dict.fromkeys(filter(None, message.all_receipt_handles)))
                while len(self._gone) > _REMEMBERED:
                    self._gone.popitem(last=False)
                # The next of its group can be had now.
                self._messages_lock.notify_all()

        def _received(self, receipt_handle: str) -> Any:
            for message in self._messages:
                if receipt_handle == message.receipt_handle or message.had_receipt_handle(
                    receipt_handle
                ):
                    return message
            raise ReceiptHandleIsInvalid

        def change_visibility(self, receipt_handle: str, seconds: int) -> None:
            with self._messages_lock:
                message = self._received(receipt_handle)
                now = time.time() * 1000
                if message.receipt_handle != receipt_handle or not self._in_flight(message, now):
                    raise SQSException(
                        "MessageNotInflight",
                        f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                        "Reason: Message does not exist or is not available for visibility "
                        "timeout change.",
                    )
                first = message.approximate_first_receive_timestamp or now
                if now + seconds * 1000 - first > 43_200_000:
                    raise SQSException(
                        "InvalidParameterValue",
                        f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: "
                        "Total VisibilityTimeout for the message is beyond the limit "
                        "[43200 seconds]",
                    )
                message.change_visibility(seconds)
                self._messages_lock.notify_all()

    def receive_message(self: Any, queue_name: str, count: int, wait_seconds_timeout: int,
                        visibility_timeout: int,
                        message_attribute_names: list[str] | None = None) -> list[Any]:  # fmt: skip
        deadline = time.monotonic() + int(wait_seconds_timeout)
        while True:
            # Anew each time: a queue that is deleted meanwhile is gone for who waits, too.
            queue = self.get_queue(queue_name)
            found: list[Any] = queue.take(int(count), int(visibility_timeout))
            left = deadline - time.monotonic()
            if found or left <= 0:
                break
            queue.wait(left)
        for message in found:
            models._filter_message_attributes(message, message_attribute_names or [])
        return found

    def change_message_visibility(
        self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        self.get_queue(queue_name).change_visibility(receipt_handle, int(visibility_timeout))

    models.Queue = LocalQueue  # type: ignore[misc]
    models.SQSBackend.receive_message = receive_message  # type: ignore[method-assign]
    models.SQSBackend.change_message_visibility = change_message_visibility  # type: ignore[method-assign]
