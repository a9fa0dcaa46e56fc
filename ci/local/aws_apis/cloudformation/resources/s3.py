"""AWS::S3: buckets and their policies.

Source: AWS CloudFormation Template Reference, "Amazon Simple Storage Service".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources import s3_settings
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed

_GONE = "NoSuchBucket"


def _create_bucket(work: Work) -> Product:
    name = work.properties.get("BucketName") or work.name(63).lower()
    with work.absent("s3", "404", _GONE, "NotFound"):
        work.call("s3", "head_bucket", Bucket=name)
        raise Failed(f"{name} already exists")
    where: dict[str, Any] = {}
    if work.region != "us-east-1":
        where["CreateBucketConfiguration"] = {"LocationConstraint": work.region}
    work.call("s3", "create_bucket", Bucket=name, **where,
              **work.given(ObjectLockEnabledForBucket="ObjectLockEnabled"))  # fmt: skip
    attributes = {
        "Arn": f"arn:{work.partition}:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "DualStackDomainName": f"{name}.s3.dualstack.{work.region}.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{work.region}.amazonaws.com",
        "WebsiteURL": f"http://{name}.s3-website-{work.region}.amazonaws.com",
    }
    made = work.begin(Product(name, attributes))
    _configure(work, name)
    return made


def _update_bucket(work: Work) -> Product:
    _configure(work, work.physical_id)
    return Product(work.physical_id, work.attributes)


def _configure(work: Work, name: str) -> None:
    for setting in s3_settings.SETTINGS:
        if not work.changed(setting.property):
            continue
        given = work.properties.get(setting.property)
        if given is None:
            work.call("s3", setting.drop, Bucket=name, **setting.dropped)
        else:
            if setting.judge:
                setting.judge(work, given)
            work.call("s3", setting.put, Bucket=name, **setting.arguments(given))
    if differ(work):
        if work.tags:
            work.call("s3", "put_bucket_tagging", Bucket=name,
                      Tagging={"TagSet": listed(work.tags)})  # fmt: skip
        else:
            work.call("s3", "delete_bucket_tagging", Bucket=name)


def _delete_bucket(work: Work) -> None:
    with work.absent("s3", _GONE):
        work.call("s3", "delete_bucket", Bucket=work.physical_id)


def _put_policy(work: Work) -> Product:
    bucket = work.properties["Bucket"]
    work.call("s3", "put_bucket_policy", Bucket=bucket, Policy=work.properties["PolicyDocument"])
    return Product(bucket)


def _delete_policy(work: Work) -> None:
    with work.absent("s3", _GONE, "NoSuchBucketPolicy"):
        work.call("s3", "delete_bucket_policy", Bucket=work.properties["Bucket"])


_REPORTS = "writes reports or metrics, which nobody makes here"
_FAR = "concerns other regions or networks than this machine's"

KINDS = (
    Kind(
        type="AWS::S3::Bucket",
        create=_create_bucket,
        update=_update_bucket,
        delete=_delete_bucket,
        honoured=frozenset(
            {"BucketName", "ObjectLockEnabled", *(each.property for each in s3_settings.SETTINGS)}
        ),
        ignored={
            "AccelerateConfiguration": _FAR,
            "AnalyticsConfigurations": _REPORTS,
            "IntelligentTieringConfigurations": "concerns storage classes",
            "InventoryConfigurations": _REPORTS,
            "MetadataConfiguration": _REPORTS,
            "MetadataTableConfiguration": _REPORTS,
            "MetricsConfigurations": _REPORTS,
        },
        unmade=frozenset(
            {
                "AbacStatus",
                "AccessControl",
                "BucketNamePrefix",
                "BucketNamespace",
                "LoggingConfiguration",
                "ObjectLockConfiguration",
                "ReplicationConfiguration",
            }
        ),
        replaced=frozenset({"BucketName"}),
        attributes=(
            "Arn",
            "DomainName",
            "DualStackDomainName",
            "RegionalDomainName",
            "WebsiteURL",
        ),
        naming="BucketName",
        tags="list",
    ),
    Kind(
        type="AWS::S3::BucketPolicy",
        create=_put_policy,
        update=_put_policy,
        delete=_delete_policy,
        honoured=frozenset({"Bucket", "PolicyDocument"}),
        required=("Bucket", "PolicyDocument"),
        replaced=frozenset({"Bucket"}),
    ),
)
