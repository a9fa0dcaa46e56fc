"""Event notifications of moto's S3, in the form of S3's own.

Source: Amazon S3 User Guide, "Event message structure", version 2.1.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any
from urllib.parse import quote_plus


def install() -> None:
    """Puts our events in the place of moto's."""
    from moto.s3 import notifications

    numbers = itertools.count(time.time_ns())
    plain = notifications._get_s3_event

    def get_s3_event(event_name: str, bucket: Any, key: Any, notification_id: str) -> Any:
        event = plain(event_name, bucket, key, notification_id)
        [record] = event["Records"]
        owner = {"principalId": "A3NL1KOZZKExample"}
        record["userIdentity"] = owner
        record["requestParameters"] = {"sourceIPAddress": "127.0.0.1"}
        record["responseElements"] = {"x-amz-request-id": "local", "x-amz-id-2": "local"}
        record["s3"]["bucket"]["ownerIdentity"] = owner
        about = record["s3"]["object"]
        about["key"] = _encoded(key.name)
        # Later events of one key have greater ones, compared as hexadecimal numbers.
        about["sequencer"] = f"{next(numbers):018X}"
        if bucket.is_versioned and (version := getattr(key, "version_id", None)):
            about["versionId"] = version
        if record["eventName"].startswith("ObjectRemoved"):
            about.pop("size", None)
            about.pop("eTag", None)
        return event

    def send_sqs_message(
        account_id: str, event_body: Any, queue_name: str, region_name: str
    ) -> None:
        from moto.sqs.models import sqs_backends

        try:
            sqs_backends[account_id][region_name].send_message(
                queue_name=queue_name, message_body=json.dumps(event_body)
            )
        except Exception as error:
            # Whoever put the object is not told, as on AWS; the log is.
            print(f"S3 notification to {queue_name}: {error!r}", file=sys.stderr)

    notifications._get_s3_event = get_s3_event
    notifications._send_sqs_message = send_sqs_message


def _encoded(key: str) -> str:
    """A key as S3 writes it into events: form encoding, slashes as they are."""
    return quote_plus(key, safe="/*").replace("~", "%7E")
