"""AWS::KMS: keys and aliases.

Source: AWS CloudFormation Template Reference, "AWS Key Management Service".
"""

from __future__ import annotations

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = "NotFoundException"


def _create_key(work: Work) -> Product:
    given = work.given(
        "BypassPolicyLockoutSafetyCheck", "Description", "KeySpec", "KeyUsage", "MultiRegion",
        "Origin", Policy="KeyPolicy",
    )  # fmt: skip
    tags = listed(work.tags, "TagKey", "TagValue")
    key = work.call("kms", "create_key", Tags=tags, **given)["KeyMetadata"]
    name = key["KeyId"]
    made = work.begin(Product(name, {"Arn": key["Arn"], "KeyId": name}))
    if _on(work, "EnableKeyRotation", "false"):
        work.call("kms", "enable_key_rotation", KeyId=name, **work.given("RotationPeriodInDays"))
    if not _on(work, "Enabled", "true"):
        work.call("kms", "disable_key", KeyId=name)
    return made


def _on(work: Work, name: str, default: str) -> bool:
    return as_text(work.properties.get(name, default)) == "true"


def _update_key(work: Work) -> Product:
    name = work.physical_id
    if work.changed("KeyPolicy"):
        work.call("kms", "put_key_policy", KeyId=name, PolicyName="default",
                  Policy=work.properties.get("KeyPolicy", {}))  # fmt: skip
    if work.changed("Description"):
        work.call("kms", "update_key_description", KeyId=name,
                  Description=work.properties.get("Description", ""))  # fmt: skip
    if work.changed("EnableKeyRotation", "RotationPeriodInDays"):
        if _on(work, "EnableKeyRotation", "false"):
            days = work.given("RotationPeriodInDays")
            work.call("kms", "enable_key_rotation", KeyId=name, **days)
        else:
            work.call("kms", "disable_key_rotation", KeyId=name)
    if work.changed("Enabled"):
        method = "enable_key" if _on(work, "Enabled", "true") else "disable_key"
        work.call("kms", method, KeyId=name)
    if differ(work):
        if gone := removed(work):
            work.call("kms", "untag_resource", KeyId=name, TagKeys=gone)
        if work.tags:
            work.call("kms", "tag_resource", KeyId=name,
                      Tags=listed(work.tags, "TagKey", "TagValue"))  # fmt: skip
    return Product(name, work.attributes)


def _delete_key(work: Work) -> None:
    """A key is not deleted at once: it waits, unusable, for as many days as it says."""
    days = work.given("PendingWindowInDays")
    with work.absent("kms", _GONE, "KMSInvalidStateException"):
        work.call("kms", "schedule_key_deletion", KeyId=work.physical_id, **days)


def _create_alias(work: Work) -> Product:
    work.call("kms", "create_alias", **work.given("AliasName", "TargetKeyId"))
    return Product(work.properties["AliasName"])


def _update_alias(work: Work) -> Product:
    work.call("kms", "update_alias", **work.given("AliasName", "TargetKeyId"))
    return Product(work.physical_id)


def _delete_alias(work: Work) -> None:
    with work.absent("kms", _GONE):
        work.call("kms", "delete_alias", AliasName=work.physical_id)


KINDS = (
    Kind(
        type="AWS::KMS::Key",
        create=_create_key,
        update=_update_key,
        delete=_delete_key,
        honoured=frozenset(
            {
                "BypassPolicyLockoutSafetyCheck", "Description", "EnableKeyRotation", "Enabled",
                "KeyPolicy", "KeySpec", "KeyUsage", "MultiRegion", "Origin",
                "PendingWindowInDays", "RotationPeriodInDays",
            }
        ),
        replaced=frozenset({"KeySpec", "KeyUsage", "MultiRegion", "Origin"}),
        attributes=("Arn", "KeyId"),
        tags="list",
    ),
    Kind(
        type="AWS::KMS::Alias",
        create=_create_alias,
        update=_update_alias,
        delete=_delete_alias,
        honoured=frozenset({"AliasName", "TargetKeyId"}),
        required=("AliasName", "TargetKeyId"),
        replaced=frozenset({"AliasName"}),
        naming="AliasName",
    ),
)  # fmt: skip
