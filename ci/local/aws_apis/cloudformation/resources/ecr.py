"""AWS::ECR::Repository.

Source: AWS CloudFormation Template Reference, "AWS::ECR::Repository".
"""

from __future__ import annotations

from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = "RepositoryNotFoundException"
_MUTABILITY = ("ImageTagMutability", "ImageTagMutabilityExclusionFilters")


def _create(work: Work) -> Product:
    name = work.properties.get("RepositoryName") or work.name(256).lower()
    given = work.given("EncryptionConfiguration", "ImageScanningConfiguration") | _mutability(work)
    if work.tags:
        given["Tags"] = listed(work.tags)
    there = work.call("ecr", "create_repository", repositoryName=name, **given)["repository"]
    attributes = {"Arn": there["repositoryArn"], "RepositoryUri": there["repositoryUri"]}
    made = work.begin(Product(name, attributes))
    _put_policies(work, name)
    return made


def _update(work: Work) -> Product:
    name = work.physical_id
    if work.changed(*_MUTABILITY):
        given = {"ImageTagMutability": "MUTABLE"} | _mutability(work)
        work.call("ecr", "put_image_tag_mutability", repositoryName=name, **given)
    if work.changed("ImageScanningConfiguration"):
        wanted = work.properties.get("ImageScanningConfiguration", {"ScanOnPush": False})
        work.call("ecr", "put_image_scanning_configuration", repositoryName=name,
                  imageScanningConfiguration=wanted)  # fmt: skip
    _put_policies(work, name)
    if differ(work):
        arn = work.attributes["Arn"]
        if gone := removed(work):
            work.call("ecr", "untag_resource", resourceArn=arn, tagKeys=gone)
        if work.tags:
            work.call("ecr", "tag_resource", resourceArn=arn, tags=listed(work.tags))
    return Product(name, work.attributes)


def _mutability(work: Work) -> dict[str, Any]:
    found = work.given(*_MUTABILITY)
    if filters := found.get("ImageTagMutabilityExclusionFilters"):
        prefix = "ImageTagMutabilityExclusionFilter"
        found["ImageTagMutabilityExclusionFilters"] = [
            {"filterType": each[f"{prefix}Type"], "filter": each[f"{prefix}Value"]}
            for each in filters
        ]
    return found


def _put_policies(work: Work, name: str) -> None:
    if work.changed("LifecyclePolicy"):
        if text := work.properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText"):
            work.call("ecr", "put_lifecycle_policy", repositoryName=name,
                      lifecyclePolicyText=text)  # fmt: skip
        else:
            work.call("ecr", "delete_lifecycle_policy", repositoryName=name)
    if work.changed("RepositoryPolicyText"):
        if text := work.properties.get("RepositoryPolicyText"):
            work.call("ecr", "set_repository_policy", repositoryName=name, policyText=text)
        else:
            work.call("ecr", "delete_repository_policy", repositoryName=name)


def _delete(work: Work) -> None:
    """One with images in it stays, unless it says otherwise."""
    force = as_text(work.properties.get("EmptyOnDelete", False))
    with work.absent("ecr", _GONE):
        work.call("ecr", "delete_repository", repositoryName=work.physical_id, force=force)


KINDS = (
    Kind(
        type="AWS::ECR::Repository",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset(
            {
                *_MUTABILITY, "EmptyOnDelete", "EncryptionConfiguration",
                "ImageScanningConfiguration", "LifecyclePolicy", "RepositoryName",
                "RepositoryPolicyText",
            }
        ),
        replaced=frozenset({"EncryptionConfiguration", "RepositoryName"}),
        attributes=("Arn", "RepositoryUri"),
        naming="RepositoryName",
        tags="list",
    ),
)  # fmt: skip
