"""The account's images: ECR's repositories are moto's, manifests and blobs the local registry's."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from ci import aws
from ci.local.functions import ACCOUNT
from ci.registry.client import INDEXES, MANIFESTS
from ci.registry.reference import InvalidReference, Reference, parse

_ACCEPT = {"Accept": ", ".join(MANIFESTS + INDEXES)}


class NoImage(Exception):
    """Lambda does not take an image; the message is Lambda's."""


class NoRegistry(Exception):
    """The registry that holds the account's images does not answer, or refuses."""


@dataclass(frozen=True)
class StoredManifest:
    """A manifest as the registry has it."""

    digest: str
    media_type: str
    body: bytes


def resolved(uri: str, region: str, registry: str) -> Reference:
    """The image that ``uri`` names, with the digest that the registry has for it.

    Raises NoImage for what Lambda refuses: an image that is not there, and an index of images.
    Source: AWS Lambda Developer Guide, "Create a Lambda function using a container image",
    requirements; the words are those that Lambda answers with.
    """
    try:
        reference = parse(uri)
    except InvalidReference:
        raise NoImage(f"Source image {uri} is not valid. Provide a valid source image.") from None
    if reference.host not in (aws.ecr_host(ACCOUNT, region), registry):
        # No other account's registry is here.
        raise NoImage(f"Source image {uri} does not exist. Provide a valid source image.")
    if not registry:
        raise NoImage(f"Source image {uri} does not exist: the local cloud knows no registry.")
    try:
        found = manifest(registry, reference.path, reference.digest or reference.tag)
    except NoRegistry as error:
        raise NoImage(f"Source image {uri} cannot be looked up: {error}") from error
    if found is None:
        raise NoImage(f"Source image {uri} does not exist. Provide a valid source image.")
    if found.media_type in INDEXES:
        what = "The image manifest, config or layer media type for the source image"
        raise NoImage(f"{what} {uri} is not supported.")
    return reference.at(found.digest)


def manifest(registry: str, repository: str, reference: str) -> StoredManifest | None:
    """The manifest of a tag or digest; None where there is none. Raises NoRegistry."""
    status, headers, body = _ask(registry, "GET", f"{repository}/manifests/{reference}", _ACCEPT)
    if status == 404:
        return None
    _judge(registry, status, body)
    return StoredManifest(headers["Docker-Content-Digest"], headers.get_content_type(), body)


def tags(registry: str, repository: str) -> list[str]:
    """The tags of a repository; none where it has never been pushed to. Raises NoRegistry."""
    status, _, body = _ask(registry, "GET", f"{repository}/tags/list")
    if status == 404:
        return []
    _judge(registry, status, body)
    return sorted(json.loads(body).get("tags") or [])


def put(registry: str, repository: str, reference: str, body: bytes, media_type: str) -> str:
    """Puts a manifest under a tag; its digest. Raises NoRegistry, also where a blob is lacking."""
    kind = {"Content-Type": media_type}
    path = f"{repository}/manifests/{reference}"
    status, headers, answer = _ask(registry, "PUT", path, kind, body)
    _judge(registry, status, answer)
    return headers["Docker-Content-Digest"]


def delete(registry: str, repository: str, digest: str) -> None:
    """Deletes a manifest, and with it all its tags. Raises NoRegistry."""
    status, _, body = _ask(registry, "DELETE", f"{repository}/manifests/{digest}")
    if status != 404:
        _judge(registry, status, body)


def _judge(registry: str, status: int, body: bytes) -> None:
    if status >= 300:
        raise NoRegistry(f"registry {registry} answers {status}: {body.decode(errors='replace')}")


def _ask(
    registry: str,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        connection.request(method, f"/v2/{path}", body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoRegistry(f"registry {registry}: {error}") from error
    finally:
        connection.close()
