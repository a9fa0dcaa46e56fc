"""Objects in S3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from datalake_library.interfaces.clients import client

# Source: Amazon S3 User Guide, "How to prevent object overwrites with conditional writes".
CHANGED = ("PreconditionFailed", "ConditionalRequestConflict")
ATTEMPTS = 10
# As S3's notifications and EventBridge spell them.
VERSION_FACTS = ("eTag", "etag", "versionId", "version-id", "sequencer")


@dataclass(frozen=True)
class Object:
    """An object; ``version`` differs between two uploads of different content to one key."""

    bucket: str
    key: str
    version: str = ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read(bucket: str, key: str) -> bytes:
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def read_all(bucket: str, keys: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Key and content of each object, in the order of ``keys``; up to 10 are read at once.

    None stands for an object that is not there.
    """
    with ThreadPoolExecutor(10) as pool:
        yield from zip(keys, pool.map(lambda key: _read(bucket, key), keys), strict=True)


def _read(bucket: str, key: str) -> bytes | None:
    try:
        return read(bucket, key)
    except client("s3").exceptions.ClientError as error:
        # Who may not list a bucket is not told that an object is not there.
        if error.response["Error"]["Code"] in ("NoSuchKey", "AccessDenied"):
            return None
        raise


def write(bucket: str, key: str, content: bytes, content_type: str) -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)


def put_into(
    bucket: str, key: str, make: Callable[[bytes | None], bytes], content_type: str
) -> None:
    """Write what ``make`` makes of the object's present content, None where there is no object.

    Others may do the same at the same time: nobody's change gets lost, it is made anew on theirs.
    """
    storage = client("s3")
    content, expected = make(None), {"IfNoneMatch": "*"}
    for _ in range(ATTEMPTS):
        try:
            storage.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType=content_type, **expected
            )
        except storage.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in CHANGED:
                raise
        else:
            return
        present = storage.get_object(Bucket=bucket, Key=key)
        content, expected = make(present["Body"].read()), {"IfMatch": present["ETag"]}
    raise RuntimeError(f"s3://{bucket}/{key} changes all the time")


def created(event: dict[str, Any]) -> list[Object]:
    """The objects that an event says were created.

    Understands S3's own notifications, EventBridge's "Object Created", and both inside SQS
    messages. S3's notifications quote keys as URLs do, EventBridge's do not. Left out are the empty
    objects that the S3 console makes for a folder; S3's test event names no object at all.
    """
    objects = []
    if "detail" in event:
        objects.append(_object(event["detail"], event["detail"]["object"]["key"]))
    for record in event.get("Records", []):
        if "body" in record:
            objects += created(json.loads(record["body"]))
        else:
            objects.append(_object(record["s3"], unquote_plus(record["s3"]["object"]["key"])))
    return [item for item in objects if not item.key.endswith("/")]


def _object(detail: dict[str, Any], key: str) -> Object:
    facts = detail["object"]
    version = "-".join(facts[name] for name in VERSION_FACTS if facts.get(name))
    return Object(detail["bucket"]["name"], key, version)
