"""Event notifications of moto's S3, in the form of S3's own.

Source: Amazon S3 User Guide, "Event message structure", version 2.1.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import quote_plus


def install() -> None:
    """Puts our events in the place of moto's."""
    from moto.s3 import notifications

    numbers = itertools.count(time.time_ns())

    def get_s3_event(event_name: str, bucket: Any, key: Any, notification_id: str) -> Any:
        about: dict[str, Any] = {"key": _encoded(key.name)}
        if "ObjectCreated" in event_name:
            about |= {"size": key.size, "eTag": key.etag.strip('"')}
        if bucket.is_versioned and (version := getattr(key, "version_id", None)):
            about["versionId"] = version
        # Later events of one key have greater ones, compared as hexadecimal numbers.
        about["sequencer"] = f"{next(numbers):018X}"
        return {"Records": [_record(event_name, bucket, notification_id, about)]}

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
    _tell_once_of_uploads_and_of_deletions()


def _tell_once_of_uploads_and_of_deletions() -> None:
    """moto tells twice of a multipart upload, and nothing of a delete marker."""
    from moto.s3 import models, notifications

    put_object, set_delete_marker = models.S3Backend.put_object, models.S3Backend._set_delete_marker
    marked = notifications.S3NotificationEvent.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT

    def put(self: Any, *positional: Any, **arguments: Any) -> Any:
        if arguments.get("multipart") is not None:
            arguments["disable_notification"] = True
        return put_object(self, *positional, **arguments)

    def mark(self: Any, bucket_name: str, key_name: str) -> Any:
        marker = set_delete_marker(self, bucket_name, key_name)
        notifications.send_event(self.account_id, marked, self.get_bucket(bucket_name), marker)
        return marker

    models.S3Backend.put_object = put  # type: ignore[method-assign]
    models.S3Backend._set_delete_marker = mark  # type: ignore[method-assign]


def _record(
    event_name: str, bucket: Any, notification_id: str, about: dict[str, Any]
) -> dict[str, Any]:
    owner = {"principalId": "A3NL1KOZZKExample"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "eventName": str(event_name.value if isinstance(event_name, Enum) else event_name)[3:],
        "userIdentity": owner,
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "local", "x-amz-id-2": "local"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification_id,
            "bucket": {"name": bucket.name, "ownerIdentity": owner, "arn": bucket.arn},
            "object": about,
        },
    }


def _encoded(key: str) -> str:
    """A key as S3 writes it into events: form encoding, slashes as they are."""
    return quote_plus(key, safe="/*").replace("~", "%7E")
