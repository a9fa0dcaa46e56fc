"""AWS::SNS: topics, subscriptions, policies.

Source: AWS CloudFormation Template Reference, "Amazon Simple Notification Service".
"""

from __future__ import annotations

from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = ("NotFound", "NotFoundException")
_TOPIC = (
    "ContentBasedDeduplication", "DisplayName", "FifoTopic", "KmsMasterKeyId",
    "SignatureVersion", "TracingConfig",
)  # fmt: skip


def _create_topic(work: Work) -> Product:
    fifo = as_text(work.properties.get("FifoTopic", False)) == "true"
    name = work.properties.get("TopicName") or work.name(256, ".fifo" if fifo else "")
    arn = work.arn("sns", name)
    with work.absent("sns", *_GONE):
        work.call("sns", "get_topic_attributes", TopicArn=arn)
        raise Failed(f"{name} already exists")
    given: dict[str, Any] = {"Attributes": work.given(*_TOPIC)}
    if work.tags:
        given["Tags"] = listed(work.tags)
    arn = work.call("sns", "create_topic", Name=name, **given)["TopicArn"]
    made = work.begin(Product(arn, {"TopicArn": arn, "TopicName": name}))
    _subscribe(work, arn)
    return made


def _update_topic(work: Work) -> Product:
    arn = work.physical_id
    for name in _TOPIC:
        if name != "FifoTopic" and work.changed(name):
            work.call("sns", "set_topic_attributes", TopicArn=arn, AttributeName=name,
                      AttributeValue=work.properties.get(name, ""))  # fmt: skip
    _subscribe(work, arn)
    if differ(work):
        if gone := removed(work):
            work.call("sns", "untag_resource", ResourceArn=arn, TagKeys=gone)
        if work.tags:
            work.call("sns", "tag_resource", ResourceArn=arn, Tags=listed(work.tags))
    return Product(arn, work.attributes)


def _subscribe(work: Work, arn: str) -> None:
    before, after = (each.get("Subscription", []) for each in (work.before, work.properties))
    for each in after:
        if each not in before:
            work.call("sns", "subscribe", TopicArn=arn, **each)
    gone = [each["Endpoint"] for each in before if each not in after]
    for each in (
        work.call("sns", "list_subscriptions_by_topic", TopicArn=arn)["Subscriptions"]
        if gone
        else []
    ):
        if each["Endpoint"] in gone:
            work.call("sns", "unsubscribe", SubscriptionArn=each["SubscriptionArn"])


def _delete_topic(work: Work) -> None:
    """Its subscriptions go with it."""
    arn = work.physical_id
    with work.absent("sns", *_GONE):
        for each in work.call("sns", "list_subscriptions_by_topic", TopicArn=arn)["Subscriptions"]:
            with work.absent("sns", *_GONE):
                work.call("sns", "unsubscribe", SubscriptionArn=each["SubscriptionArn"])
        work.call("sns", "delete_topic", TopicArn=arn)


_SUBSCRIPTION = (
    "DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy",
    "SubscriptionRoleArn",
)  # fmt: skip


def _create_subscription(work: Work) -> Product:
    given = work.given("Endpoint", "Protocol", "TopicArn")
    arn = work.call("sns", "subscribe", Attributes=work.given(*_SUBSCRIPTION),
                    ReturnSubscriptionArn=True, **given)["SubscriptionArn"]  # fmt: skip
    return Product(arn, {"Arn": arn})


def _update_subscription(work: Work) -> Product:
    for name in _SUBSCRIPTION:
        if work.changed(name):
            work.call("sns", "set_subscription_attributes", SubscriptionArn=work.physical_id,
                      AttributeName=name,
                      AttributeValue=work.properties.get(name, "{}"))  # fmt: skip
    return Product(work.physical_id, work.attributes)


def _delete_subscription(work: Work) -> None:
    with work.absent("sns", *_GONE):
        work.call("sns", "unsubscribe", SubscriptionArn=work.physical_id)


def _put_policy(work: Work) -> Product:
    for arn in work.properties["Topics"]:
        work.call("sns", "set_topic_attributes", TopicArn=arn, AttributeName="Policy",
                  AttributeValue=work.properties["PolicyDocument"])  # fmt: skip
    return Product(work.physical_id or work.name(), {})


def _delete_policy(work: Work) -> None:
    """A topic cannot be without: it gets the one that lets its owner in, as SNS gives it."""
    for arn in work.properties["Topics"]:
        owner = {"Effect": "Allow", "Principal": {"AWS": work.account}, "Action": "SNS:*",
                 "Resource": arn}  # fmt: skip
        with work.absent("sns", *_GONE):
            work.call("sns", "set_topic_attributes", TopicArn=arn, AttributeName="Policy",
                      AttributeValue={"Version": "2008-10-17", "Statement": [owner]})  # fmt: skip


KINDS = (
    Kind(
        type="AWS::SNS::Topic",
        create=_create_topic,
        update=_update_topic,
        delete=_delete_topic,
        honoured=frozenset({*_TOPIC, "Subscription", "TopicName"}),
        ignored={
            "ArchivePolicy": "nothing is archived here",
            "DataProtectionPolicy": "nobody reads the messages' data here",
            "DeliveryStatusLogging": "deliveries are not logged here",
            "FifoThroughputScope": "concerns capacity, which is this machine's",
        },
        unmade=frozenset({"MaximumMessageSize"}),
        replaced=frozenset({"FifoTopic", "TopicName"}),
        attributes=("TopicArn", "TopicName"),
        naming="TopicName",
        tags="list",
    ),
    Kind(
        type="AWS::SNS::Subscription",
        create=_create_subscription,
        update=_update_subscription,
        delete=_delete_subscription,
        honoured=frozenset({*_SUBSCRIPTION, "Endpoint", "Protocol", "TopicArn"}),
        ignored={
            "Region": "there is one region",
            "ReplayPolicy": "nothing is archived here",
        },
        required=("Protocol", "TopicArn"),
        replaced=frozenset({"Endpoint", "Protocol", "TopicArn"}),
        attributes=("Arn",),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        create=_put_policy,
        update=_put_policy,
        delete=_delete_policy,
        honoured=frozenset({"PolicyDocument", "Topics"}),
        required=("PolicyDocument", "Topics"),
        replaced=frozenset(),
        attributes=("Id",),
    ),
)
