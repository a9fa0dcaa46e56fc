"""Objects in S3 that a URL names, as template URLs do.

Source: Amazon S3 User Guide, "Virtual hosting of general purpose buckets"; the local cloud's own
URLs are path-style.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.stacks import Store

_PATH_STYLE = re.compile(r"s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_BUCKET_STYLE = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True)
class Object:
    """An object in S3; ``version`` is blank for the newest."""

    bucket: str
    key: str
    version: str = ""


def parsed(url: str, port: int | None) -> Object | None:
    """The object that a URL names: in AWS's S3, in the local cloud's on ``port``, ``s3://``."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path.lstrip("/"))
    version = parse_qs(parts.query).get("versionId", [""])[0]
    if parts.scheme == "s3":
        return Object(host, path) if host and path else None
    if parts.scheme not in ("http", "https"):
        return None
    local = (host == "127.0.0.1" or host.endswith("localhost")) and parts.port == port
    if not (local or _PATH_STYLE.fullmatch(host)):
        found = _BUCKET_STYLE.fullmatch(host)
        return Object(found["bucket"], path, version) if found and path else None
    bucket, _, key = path.partition("/")
    return Object(bucket, key, version) if bucket and key else None


def text(url: str, store: Store, limit: int) -> str:
    """The text of the template at a URL. Raises Refused."""
    found = parsed(url, store.cloud.port)
    if not found:
        raise Refused("TemplateURL must be a supported URL.")
    body = content(found, store)
    if len(body) > limit:
        raise Refused(f"Template may not exceed {limit} bytes in size.")
    return body.decode("utf-8", errors="replace")


def content(found: Object, store: Store) -> bytes:
    """What an object holds. Raises Refused."""
    s3 = store.client("s3")
    arguments: dict[str, Any] = {"Bucket": found.bucket, "Key": found.key}
    if found.version:
        arguments["VersionId"] = found.version
    try:
        body: bytes = s3.get_object(**arguments)["Body"].read()
    except s3.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise Refused(f"S3 error: {error.response['Error']['Message']} ({code}: "
                      f"s3://{found.bucket}/{found.key})") from error  # fmt: skip
    return body
