"""The account's images: ECR's repositories are moto's, their blobs are in the local registry."""

from __future__ import annotations

import http.client

from ci import aws
from ci.local.functions import ACCOUNT
from ci.registry.client import INDEXES, MANIFESTS
from ci.registry.reference import InvalidReference, Reference, parse


class NoImage(Exception):
    """Lambda does not take an image; the message is Lambda's."""


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
    status, kind, digest = _head(registry, reference)
    if status != 200:
        raise NoImage(f"Source image {uri} does not exist. Provide a valid source image.")
    if kind in INDEXES:
        what = "The image manifest, config or layer media type for the source image"
        raise NoImage(f"{what} {uri} is not supported.")
    return reference.at(digest)


def _head(registry: str, reference: Reference) -> tuple[int, str, str]:
    """Status, media type and digest of a manifest. Raises NoImage where nobody answers."""
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        path = f"/v2/{reference.path}/manifests/{reference.digest or reference.tag}"
        connection.request("HEAD", path, headers={"Accept": ", ".join(MANIFESTS + INDEXES)})
        response = connection.getresponse()
        headers = response.headers
        return (
            response.status,
            headers.get_content_type(),
            headers.get("Docker-Content-Digest", ""),
        )
    except (OSError, http.client.HTTPException) as error:
        what = f"Source image {reference} cannot be looked up: registry {registry}: {error}"
        raise NoImage(what) from error
    finally:
        connection.close()
