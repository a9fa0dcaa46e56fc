"""AWS::SQS: queues and their policies.

Source: AWS CloudFormation Template Reference, "Amazon Simple Queue Service"; defaults from the
Amazon SQS API Reference, SetQueueAttributes.
"""

from __future__ import annotations

from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import removed

_GONE = "AWS.SimpleQueueService.NonExistentQueue"
_GONE_SHORT = "QueueDoesNotExist"
_DEFAULTS = {
    "DelaySeconds": "0",
    "KmsDataKeyReusePeriodSeconds": "300",
    "KmsMasterKeyId": "",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "RedriveAllowPolicy": "",
    "RedrivePolicy": "",
    "VisibilityTimeout": "30",
}
_FIFO = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")


def _attributes(work: Work) -> dict[str, Any]:
    names = (*_DEFAULTS, *_FIFO, "SqsManagedSseEnabled")
    return work.given(*names)


def _create_queue(work: Work) -> Product:
    fifo = as_text(work.properties.get("FifoQueue", False)) == "true"
    name = work.properties.get("QueueName") or work.name(80, ".fifo" if fifo else "")
    attributes = _attributes(work) | ({"FifoQueue": "true"} if fifo else {})
    # SQS gives an equal queue back; CloudFormation takes over nobody else's.
    with work.absent("sqs", _GONE, _GONE_SHORT):
        work.call("sqs", "get_queue_url", QueueName=name)
        raise Failed(f"{name} already exists")
    url = work.call(
        "sqs", "create_queue", QueueName=name, Attributes=attributes, tags=dict(work.tags)
    )["QueueUrl"]
    return Product(url, {"Arn": work.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _update_queue(work: Work) -> Product:
    url = work.physical_id
    attributes = _attributes(work)
    for name, default in _DEFAULTS.items():
        if name in work.before and name not in work.properties:
            attributes[name] = default
    changed = {name: each for name, each in attributes.items() if work.changed(name)}
    if changed:
        work.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes=changed)
    if gone := removed(work):
        work.call("sqs", "untag_queue", QueueUrl=url, TagKeys=gone)
    if work.tags:
        work.call("sqs", "tag_queue", QueueUrl=url, Tags=dict(work.tags))
    return Product(url, work.attributes)


def _delete_queue(work: Work) -> None:
    with work.absent("sqs", _GONE, _GONE_SHORT):
        work.call("sqs", "delete_queue", QueueUrl=work.physical_id)


def _put_policy(work: Work) -> Product:
    document = work.properties["PolicyDocument"]
    for url in work.properties["Queues"]:
        work.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": document})
    _drop_policy(work, set(work.before.get("Queues", [])) - set(work.properties["Queues"]))
    return Product(work.physical_id or work.name(), {})


def _drop_policy(work: Work, urls: set[str]) -> None:
    for url in sorted(urls):
        with work.absent("sqs", _GONE, _GONE_SHORT):
            work.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": ""})


def _delete_policy(work: Work) -> None:
    _drop_policy(work, set(work.properties["Queues"]))


KINDS = (
    Kind(
        type="AWS::SQS::Queue",
        create=_create_queue,
        update=_update_queue,
        delete=_delete_queue,
        honoured=frozenset({*_DEFAULTS, *_FIFO, "FifoQueue", "QueueName", "SqsManagedSseEnabled"}),
        replaced=frozenset({"FifoQueue", "QueueName"}),
        attributes=("Arn", "QueueName", "QueueUrl"),
        naming="QueueName",
        tags="list",
    ),
    Kind(
        type="AWS::SQS::QueuePolicy",
        create=_put_policy,
        update=_put_policy,
        delete=_delete_policy,
        honoured=frozenset({"PolicyDocument", "Queues"}),
        required=("PolicyDocument", "Queues"),
        attributes=("Id",),
    ),
)
