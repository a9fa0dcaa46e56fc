"""Templates in the bucket: uploaded under a name that their content decides, read by their URL."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ci.cloud import Cloud
from ci.deploy import nested
from ci.deploy.desk import Desk
from ci.errors import PipelineError
from ci.package.run import LARGEST
from ci.package.templates import Template

FOLDER = "templates"


async def upload(desk: Desk, text: str, where: str) -> str:
    """The URL of a template; it is uploaded unless it is there.

    Raises PipelineError about ``where`` for one that CloudFormation does not take.
    """
    body = text.encode()
    if len(body) > LARGEST:
        what = f"has {len(body)} bytes; CloudFormation takes {LARGEST}"
        raise PipelineError(where, what, "split it into nested stacks, or move code into files")
    key = f"{FOLDER}/{hashlib.sha256(body).hexdigest()}.template"
    bucket = desk.cloud.bucket

    def uploaded(client: Any) -> None:
        # ListObjectsV2 tells a missing object apart with the rights that packaging needs anyhow.
        there = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        if not there.get("KeyCount"):
            client.put_object(Bucket=bucket, Key=key, Body=body)

    await desk.ask("s3", "s3:PutObject", uploaded)
    return url(desk.cloud, key)


def url(cloud: Cloud, key: str) -> str:
    """How CloudFormation finds an object of the bucket. Source: S3 User Guide, path-style URLs."""
    if cloud.endpoint:
        return f"{cloud.endpoint}/{cloud.bucket}/{key}"
    suffix = cloud.pseudo_parameters("")["AWS::URLSuffix"]
    return f"https://s3.{cloud.region}.{suffix}/{cloud.bucket}/{key}"


def location(template_url: str) -> tuple[str, str] | None:
    """Bucket and key behind a URL of S3, in any of its forms; None for another URL."""
    parts = urlsplit(template_url)
    path = unquote(parts.path).lstrip("/")
    host = parts.hostname or ""
    if parts.scheme == "s3":
        return (host, path) if host and path else None
    own = re.fullmatch(r"(?P<bucket>.+)\.s3[.-].*amazonaws\.com(\.cn)?", host)
    if own:
        return own["bucket"], path
    bucket, _, key = path.partition("/")
    return (bucket, key) if bucket and key else None


async def with_nested(desk: Desk, document: dict[str, Any], path: Path) -> Template:
    """A template with all that are nested in it. Raises PipelineError where one is not there."""

    def read(client: Any) -> Template:
        return nested.tree(document, path, lambda url: _fetch(client, url))

    return await desk.ask("s3", "s3:GetObject", read)


def _fetch(client: Any, template_url: str) -> str:
    if not (place := location(template_url)):
        raise PipelineError(template_url, "is no template in S3", "package it again")
    try:
        body: bytes = client.get_object(Bucket=place[0], Key=place[1])["Body"].read()
    except client.exceptions.NoSuchKey as error:
        fix = "package it again (python ci/main.py app)"
        raise PipelineError(template_url, "is not there any more", fix) from error
    return body.decode()
