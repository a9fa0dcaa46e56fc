"""Empties what CloudFormation deletes only when it is empty: buckets, image repositories.

Sources: Amazon S3 API Reference, DeleteObjects (1,000 keys a request); Amazon ECR API Reference,
BatchDeleteImage (100 images a request).
"""

from __future__ import annotations

from typing import Any

from ci.deploy.desk import together
from ci.deploy.reach import Reach
from ci.errors import PipelineError
from ci.registry.reference import Reference

BUCKET, REPOSITORY = "AWS::S3::Bucket", "AWS::ECR::Repository"
_OBJECTS, _IMAGES = 1000, 100


async def empty(reach: Reach, kind: str, name: str) -> int:
    """Deletes everything in a bucket, all versions and delete markers, or in a repository; how
    much it was. Nothing where there is none of that name. Raises PipelineError."""
    if kind == BUCKET:
        return await reach.desk.ask("s3", "s3:DeleteObjectVersion", lambda s3: _bucket(s3, name))
    found = await reach.desk.ask("ecr", "ecr:BatchDeleteImage", lambda ecr: _repository(ecr, name))
    if reach.cloud.port is None:
        return found
    return max(found, await _in_registry(reach, name))


def _bucket(s3: Any, name: str) -> int:
    count = 0
    while True:
        # Always the first page: what was on it is gone.
        try:
            page = s3.list_object_versions(Bucket=name, MaxKeys=_OBJECTS)
        except s3.exceptions.NoSuchBucket:
            return count
        objects = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*(page.get("Versions") or ()), *(page.get("DeleteMarkers") or ()))
        ]
        if not objects:
            return count
        answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors"):
            first = errors[0]
            what = (
                f"{len(errors)} objects cannot be deleted; the first: {first.get('Key')}: "
                f"{first.get('Code')}: {first.get('Message')}"
            )
            fix = "allow s3:DeleteObjectVersion on it, or lift what holds them; then run again"
            raise PipelineError(f"bucket {name}", what, fix)
        count += len(objects)


def _repository(ecr: Any, name: str) -> int:
    try:
        pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
        digests = {each["imageDigest"] for page in pages for each in page["imageIds"]}
    except ecr.exceptions.RepositoryNotFoundException:
        return 0
    ids = [{"imageDigest": digest} for digest in sorted(digests)]
    for start in range(0, len(ids), _IMAGES):
        answer = ecr.batch_delete_image(repositoryName=name, imageIds=ids[start : start + _IMAGES])
        # What an index refers to goes with it, or after it.
        odd = [each for each in answer.get("failures") or ()
               if each.get("failureCode") != "ImageNotFound"]  # fmt: skip
        if odd:
            what = f"an image cannot be deleted: {odd[0].get('failureReason')}"
            raise PipelineError(f"repository {name}", what, "mend what it names, and run again")
    return len(ids)


async def _in_registry(reach: Reach, name: str) -> int:
    """The images that the registry of this machine holds in the account's place."""
    repository = reach.place(Reference(reach.images.account_registry, name))

    async def digest(tag: str) -> str:
        return await reach.registries.digest(Reference(repository.host, repository.path, tag=tag))

    tags = await together(await reach.registries.tags(repository), digest)
    digests = set(tags.values())
    await together(sorted(digests), lambda each: reach.registries.delete(repository, each))
    return len(digests)
