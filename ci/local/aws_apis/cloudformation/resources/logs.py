"""AWS::Logs::LogGroup.

Source: AWS CloudFormation Template Reference, "AWS::Logs::LogGroup".
"""

from __future__ import annotations

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, removed

_GONE = "ResourceNotFoundException"


def _create(work: Work) -> Product:
    name = work.properties.get("LogGroupName") or work.name(512)
    given = work.given("KmsKeyId", "LogGroupClass")
    if work.tags:
        given["tags"] = dict(work.tags)
    work.call("logs", "create_log_group", logGroupName=name, **given)
    made = work.begin(Product(name, {"Arn": work.arn("logs", f"log-group:{name}:*")}))
    if days := work.properties.get("RetentionInDays"):
        work.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    return made


def _update(work: Work) -> Product:
    name = work.physical_id
    if work.changed("RetentionInDays"):
        if days := work.properties.get("RetentionInDays"):
            work.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
        else:
            work.call("logs", "delete_retention_policy", logGroupName=name)
    if work.changed("KmsKeyId"):
        if key := work.properties.get("KmsKeyId"):
            work.call("logs", "associate_kms_key", logGroupName=name, kmsKeyId=key)
        else:
            work.call("logs", "disassociate_kms_key", logGroupName=name)
    if differ(work):
        arn = str(work.attributes["Arn"]).removesuffix(":*")
        if gone := removed(work):
            work.call("logs", "untag_resource", resourceArn=arn, tagKeys=gone)
        if work.tags:
            work.call("logs", "tag_resource", resourceArn=arn, tags=dict(work.tags))
    return Product(name, work.attributes)


def _delete(work: Work) -> None:
    with work.absent("logs", _GONE):
        work.call("logs", "delete_log_group", logGroupName=work.physical_id)


KINDS = (
    Kind(
        type="AWS::Logs::LogGroup",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset({"KmsKeyId", "LogGroupClass", "LogGroupName", "RetentionInDays"}),
        ignored={
            "BearerTokenAuthenticationEnabled": "all callers here are let in",
            "DataProtectionPolicy": "nobody reads the logs' data here",
            "FieldIndexPolicies": "there are no queries here",
        },
        unmade=frozenset({"DeletionProtectionEnabled", "ResourcePolicyDocument"}),
        replaced=frozenset({"LogGroupClass", "LogGroupName"}),
        attributes=("Arn",),
        naming="LogGroupName",
        tags="list",
    ),
)
