"""What a bucket's properties are to S3's API.

Source: AWS CloudFormation Template Reference, "AWS::S3::Bucket" and its property types; Amazon S3
API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Work


@dataclass(frozen=True)
class Setting:
    """A property: the call that sets it, and the one that takes it away (``dropped``: its
    arguments). ``judge`` raises Failed."""

    property: str
    put: str
    arguments: Callable[[Any], dict[str, Any]]
    drop: str
    dropped: Mapping[str, Any] = field(default_factory=dict)
    judge: Callable[[Work, Any], None] | None = None


def _renamed(value: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """``value`` with the API's member names: ``API's name=property``."""
    other = {theirs: ours for ours, theirs in names.items()}
    return {other.get(key, key): each for key, each in value.items()}


def _encryption(given: Any) -> dict[str, Any]:
    rules = [
        _renamed(rule, ApplyServerSideEncryptionByDefault="ServerSideEncryptionByDefault")
        for rule in given["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _lifecycle(given: Any) -> dict[str, Any]:
    return {"LifecycleConfiguration": {"Rules": [_rule(rule) for rule in given["Rules"]]}}


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """One lifecycle rule; older spellings of CloudFormation mean the same as newer ones."""
    left = dict(rule)
    found: dict[str, Any] = {"Status": left.pop("Status")}
    if "Id" in left:
        found["ID"] = left.pop("Id")
    expiration = {
        name: left.pop(key)
        for key, name in {
            "ExpirationInDays": "Days",
            "ExpirationDate": "Date",
            "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
        }.items()
        if key in left
    }
    if expiration:
        found["Expiration"] = expiration
    if "NoncurrentVersionExpirationInDays" in left:
        days = left.pop("NoncurrentVersionExpirationInDays")
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    for key, day in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
        if key in left:
            found[key] = [
                _renamed(each, **{day: "TransitionInDays", "Date": "TransitionDate"})
                for each in left.pop(key)
            ]
    found["Filter"] = _filter(left)
    return found | left


def _filter(left: dict[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {
        key: left.pop(key)
        for key in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
        if key in left
    }
    if tags := left.pop("TagFilters", None):
        parts["Tags"] = tags
    if not parts:
        return {"Prefix": ""}
    if len(parts) == 1 and "Tags" not in parts:
        return parts
    return {"And": parts}


_DESTINATIONS = {
    "QueueConfigurations": ("Queue", "QueueArn"),
    "TopicConfigurations": ("Topic", "TopicArn"),
    "LambdaConfigurations": ("Function", "LambdaFunctionArn"),
}


def _notification(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, (theirs, ours) in _DESTINATIONS.items():
        configurations = []
        for each in given.get(key, []):
            one: dict[str, Any] = {"Events": [each["Event"]], ours: each[theirs]}
            if rules := each.get("Filter", {}).get("S3Key", {}).get("Rules"):
                one["Filter"] = {"Key": {"FilterRules": rules}}
            configurations.append(one)
        if configurations:
            name = "LambdaFunctionConfigurations" if key.startswith("Lambda") else key
            found[name] = configurations
    bridge = given.get("EventBridgeConfiguration")
    if bridge is not None and as_text(bridge.get("EventBridgeEnabled", True)) == "true":
        found["EventBridgeConfiguration"] = {}
    return {"NotificationConfiguration": found}


def _judge_notification(work: Work, given: Any) -> None:
    """As S3 does when a notification is set: its destination must be there and let S3 in.

    Source: Amazon S3 User Guide, "Granting permissions to publish event notification messages to
    a destination".
    """
    for key, (theirs, _) in _DESTINATIONS.items():
        for each in given.get(key, []):
            policy = _policy(work, str(each[theirs]))
            if "s3.amazonaws.com" not in policy:
                raise Failed(
                    "Unable to validate the following destination configurations: "
                    f"{each[theirs]} is not there, or its policy does not let s3.amazonaws.com in"
                )


def _policy(work: Work, arn: str) -> str:
    """The resource policy of a destination; blank where it is not there or has none."""
    service, name = arn.split(":")[2], arn.rsplit(":", maxsplit=1)[-1]
    client = work.clients(service)
    try:
        match service:
            case "sqs":
                url = work.call("sqs", "get_queue_url", QueueName=name)["QueueUrl"]
                asked = work.call("sqs", "get_queue_attributes", QueueUrl=url,
                                  AttributeNames=["Policy"])  # fmt: skip
                return str(asked.get("Attributes", {}).get("Policy", ""))
            case "sns":
                asked = work.call("sns", "get_topic_attributes", TopicArn=arn)
                return str(asked["Attributes"].get("Policy", ""))
            case "lambda":
                return json.dumps(work.call("lambda", "get_policy", FunctionName=arn)["Policy"])
    except client.exceptions.ClientError:
        return ""
    return ""


def _same(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda given: {name: given}


def _cors(given: Any) -> dict[str, Any]:
    rules = [
        _renamed(rule, ID="Id", ExposeHeaders="ExposedHeaders", MaxAgeSeconds="MaxAge")
        for rule in given["CorsRules"]
    ]
    return {"CORSConfiguration": {"CORSRules": rules}}


def _website(given: Any) -> dict[str, Any]:
    found = dict(given)
    if "IndexDocument" in given:
        found["IndexDocument"] = {"Suffix": given["IndexDocument"]}
    if "ErrorDocument" in given:
        found["ErrorDocument"] = {"Key": given["ErrorDocument"]}
    return {"WebsiteConfiguration": found}


SETTINGS = (
    Setting("VersioningConfiguration", "put_bucket_versioning", _same("VersioningConfiguration"),
            "put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
    Setting("BucketEncryption", "put_bucket_encryption", _encryption, "delete_bucket_encryption"),
    Setting("PublicAccessBlockConfiguration", "put_public_access_block",
            _same("PublicAccessBlockConfiguration"), "delete_public_access_block"),
    Setting("OwnershipControls", "put_bucket_ownership_controls", _same("OwnershipControls"),
            "delete_bucket_ownership_controls"),
    Setting("LifecycleConfiguration", "put_bucket_lifecycle_configuration", _lifecycle,
            "delete_bucket_lifecycle"),
    Setting("CorsConfiguration", "put_bucket_cors", _cors, "delete_bucket_cors"),
    Setting("WebsiteConfiguration", "put_bucket_website", _website, "delete_bucket_website"),
    Setting("NotificationConfiguration", "put_bucket_notification_configuration", _notification,
            "put_bucket_notification_configuration", {"NotificationConfiguration": {}},
            _judge_notification),
)  # fmt: skip
