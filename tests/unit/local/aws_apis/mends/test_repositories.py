"""ECR: what is in the registry is what the account's repositories hold."""

from __future__ import annotations

import json

import pytest
from kit import registries
from kit.local_cloud import LocalCloud, delete, deploy, events


def repository(name: str, **properties: object) -> dict[str, object]:
    made = {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": name, **properties}}
    return {"Resources": {"rRepository": made}}


def test_pushed_images_are_listed_and_described(cloud: LocalCloud, registry: str) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="listed")
    assert ecr.list_images(repositoryName="listed")["imageIds"] == []
    one = registries.push_image(registry, "listed", "one", content="1")
    registries.push_image(registry, "listed", "again", content="1")
    two = registries.push_image(registry, "listed", "two", content="2")
    found = ecr.list_images(repositoryName="listed")["imageIds"]
    assert sorted((each["imageTag"], each["imageDigest"]) for each in found) == [
        ("again", one), ("one", one), ("two", two)
    ]  # fmt: skip
    [detail] = ecr.describe_images(repositoryName="listed", imageIds=[{"imageTag": "one"}])[
        "imageDetails"
    ]
    assert (detail["imageDigest"], sorted(detail["imageTags"])) == (one, ["again", "one"])
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_images(repositoryName="listed", imageIds=[{"imageTag": "three"}])


def test_a_tag_is_put_and_taken(cloud: LocalCloud, registry: str) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="tagged")
    digest = registries.push_image(registry, "tagged", "one")
    [image] = ecr.batch_get_image(repositoryName="tagged", imageIds=[{"imageTag": "one"}])["images"]
    manifest = image["imageManifest"]
    ecr.put_image(repositoryName="tagged", imageManifest=manifest, imageTag="deployed-dev")
    assert registries.tags(registry, "tagged") == {"one": digest, "deployed-dev": digest}
    with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(repositoryName="tagged", imageManifest=manifest, imageTag="one")
    answer = ecr.batch_delete_image(repositoryName="tagged", imageIds=[{"imageTag": "one"}])
    assert answer["imageIds"] == [{"imageDigest": digest, "imageTag": "one"}]
    assert registries.tags(registry, "tagged") == {"deployed-dev": digest}


def test_tags_that_may_not_move(cloud: LocalCloud, registry: str) -> None:
    prefix = "ImageTagMutabilityExclusionFilter"
    filters = [{f"{prefix}Type": "WILDCARD", f"{prefix}Value": "build-*"}]
    deploy(cloud, "immutable", repository(
        "immutable", ImageTagMutability="MUTABLE_WITH_EXCLUSION",
        ImageTagMutabilityExclusionFilters=filters,
    ))  # fmt: skip
    ecr = cloud.client("ecr")
    [found] = ecr.describe_repositories(repositoryNames=["immutable"])["repositories"]
    assert found["imageTagMutabilityExclusionFilters"] == [
        {"filterType": "WILDCARD", "filter": "build-*"}
    ]
    assert found["repositoryUri"] == "123456789012.dkr.ecr.us-east-1.amazonaws.com/immutable"
    manifests = {}
    for tag in ("build-1", "latest"):
        registries.push_image(registry, "immutable", tag, content=tag)
        asked = [{"imageTag": tag}]
        [image] = ecr.batch_get_image(repositoryName="immutable", imageIds=asked)["images"]
        manifests[tag] = image["imageManifest"]
    ecr.put_image(repositoryName="immutable", imageManifest=manifests["build-1"], imageTag="latest")
    with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            repositoryName="immutable", imageManifest=manifests["latest"], imageTag="build-1"
        )


def test_a_repository_with_images_stays_until_it_is_empty(cloud: LocalCloud, registry: str) -> None:
    deploy(cloud, "filled", repository("filled"))
    digest = registries.push_image(registry, "filled", "one")
    registries.push_image(registry, "filled", "two")
    assert delete(cloud, "filled")["StackStatus"] == "DELETE_FAILED"
    reasons = [
        r for n, s, r in events(cloud, "filled") if (n, s) == ("rRepository", "DELETE_FAILED")
    ]
    assert "cannot be deleted because it still contains images" in reasons[0]
    assert "RepositoryNotEmptyException" in reasons[0]
    answer = cloud.client("ecr").batch_delete_image(
        repositoryName="filled", imageIds=[{"imageDigest": digest}, {"imageDigest": "sha256:0"}]
    )
    assert {each["imageTag"] for each in answer["imageIds"]} == {"one", "two"}
    assert [each["failureCode"] for each in answer["failures"]] == ["ImageNotFound"]
    assert delete(cloud, "filled")["StackStatus"] == "DELETE_COMPLETE"


def test_one_that_says_so_is_emptied(cloud: LocalCloud, registry: str) -> None:
    deploy(cloud, "emptied", repository("emptied", EmptyOnDelete=True))
    registries.push_image(registry, "emptied", "one")
    assert delete(cloud, "emptied")["StackStatus"] == "DELETE_COMPLETE"


def test_policies_and_scanning(cloud: LocalCloud) -> None:
    rule = {"rulePriority": 1, "action": {"type": "expire"},
            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan",
                          "countNumber": 1}}  # fmt: skip
    statement = {"Sid": "pull", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                 "Action": "ecr:BatchGetImage"}  # fmt: skip
    deploy(cloud, "policies", repository(
        "policies", ImageScanningConfiguration={"ScanOnPush": "true"},
        LifecyclePolicy={"LifecyclePolicyText": json.dumps({"rules": [rule]})},
        RepositoryPolicyText={"Version": "2012-10-17", "Statement": [statement]},
    ))  # fmt: skip
    ecr = cloud.client("ecr")
    [found] = ecr.describe_repositories(repositoryNames=["policies"])["repositories"]
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    policy = ecr.get_repository_policy(repositoryName="policies")["policyText"]
    assert json.loads(policy)["Statement"] == [statement]
    lifecycle = ecr.get_lifecycle_policy(repositoryName="policies")["lifecyclePolicyText"]
    assert json.loads(lifecycle) == {"rules": [rule]}
    deploy(cloud, "policies", repository("policies"))
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName="policies")
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName="policies")
    [found] = ecr.describe_repositories(repositoryNames=["policies"])["repositories"]
    assert found["imageScanningConfiguration"] == {"scanOnPush": False}
