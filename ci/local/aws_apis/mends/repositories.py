"""moto's ECR, whose images are those of the local registry.

What is pushed there is what ECR lists, describes and deletes here, and a repository that has
images in it is not empty. An image that lost its last tag is in no list: a registry has none of
those.
"""

from __future__ import annotations

import json
from typing import Any

from ci.local.aws_apis.mends import account_images
from ci.local.aws_apis.surroundings import Surroundings


def install(surroundings: Surroundings) -> None:
    """Puts repositories of our kind in the place of moto's."""
    from moto.ecr import exceptions, models

    class LocalRepository(models.Repository):
        """A repository whose images are in the local registry."""

        @property
        def images(self) -> list[Any]:
            registry = surroundings.registry
            found: dict[str, Any] = {}
            for tag in account_images.tags(registry, self.name) if registry else []:
                stored = account_images.manifest(registry, self.name, tag)
                if stored is None:
                    continue
                if stored.digest not in found:
                    found[stored.digest] = models.Image(
                        self.account_id, tag, stored.body.decode(), self.name,
                        stored.media_type, stored.digest,
                    )  # fmt: skip
                found[stored.digest].update_tag(tag)
            return list(found.values())

        @images.setter
        def images(self, images: list[Any]) -> None:
            """moto's own list begins empty, and stays so."""

    put_image = models.ECRBackend.put_image

    def put(
        self: Any,
        repository_name: str,
        image_manifest: str,
        image_tag: str,
        image_manifest_mediatype: str | None = None,
        digest: str | None = None,
    ) -> Any:
        """As ECR's PutImage: a tag that may not move is refused by moto, then it is put."""
        if not surroundings.registry:
            return put_image(self, repository_name, image_manifest, image_tag,
                             image_manifest_mediatype, digest)  # fmt: skip
        repository = self._get_repository(repository_name)
        kind = image_manifest_mediatype or json.loads(image_manifest).get("mediaType")
        if kind is None:
            raise exceptions.InvalidParameterException(
                "image manifest mediatype not provided in manifest or parameter"
            )
        moved = self._resolve_image_tag_mutability(repository, image_tag)
        known = account_images.put(surroundings.registry, repository_name, image_tag,
                                   image_manifest.encode(), kind)  # fmt: skip
        if any(each.image_digest == known for each in moved):
            raise exceptions.ImageAlreadyExistsException(
                registry_id=repository.registry_id, image_tag=image_tag, digest=known,
                repository_name=repository_name,
            )  # fmt: skip
        return repository._get_image(image_tag, known)

    def batch_delete_image(
        self: Any,
        repository_name: str,
        registry_id: str | None = None,
        image_ids: list[dict[str, str]] | None = None,
    ) -> dict[str, Any]:
        """A tag is taken from its image, a digest takes the image with all its tags."""
        repository = self._get_repository(repository_name, registry_id)
        answer: dict[str, Any] = {"imageIds": [], "failures": []}
        for asked in image_ids or []:
            try:
                image = repository._get_image(asked.get("imageTag"), asked.get("imageDigest"))
            except exceptions.ImageNotFoundException:
                answer["failures"].append({
                    "imageId": asked, "failureCode": "ImageNotFound",
                    "failureReason": "Requested image not found",
                })  # fmt: skip
                continue
            gone = [asked["imageTag"]] if "imageTag" in asked else image.image_tags
            _delete(surroundings.registry, repository_name, image, gone)
            answer["imageIds"] += [
                {"imageDigest": image.image_digest, "imageTag": tag} for tag in gone
            ]
        return answer

    models.Repository = LocalRepository  # type: ignore[misc]
    models.ECRBackend.put_image = put  # type: ignore[method-assign]
    models.ECRBackend.batch_delete_image = batch_delete_image  # type: ignore[method-assign]


def _delete(registry: str, repository: str, image: Any, gone: list[str]) -> None:
    account_images.delete(registry, repository, image.image_digest)
    # The registry takes all tags of an image away; those that stay come back.
    for tag in image.image_tags:
        if tag not in gone:
            account_images.put(registry, repository, tag, image.image_manifest.encode(),
                               image.image_manifest_media_type)  # fmt: skip
