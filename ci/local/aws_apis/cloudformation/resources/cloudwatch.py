"""AWS::CloudWatch::Alarm.

Source: AWS CloudFormation Template Reference, "AWS::CloudWatch::Alarm".
"""

from __future__ import annotations

from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_PLAIN = (
    "ActionsEnabled", "AlarmActions", "AlarmDescription", "ComparisonOperator",
    "DatapointsToAlarm", "Dimensions", "EvaluateLowSampleCountPercentile", "EvaluationPeriods",
    "ExtendedStatistic", "InsufficientDataActions", "MetricName", "Metrics", "Namespace",
    "OKActions", "Period", "Statistic", "Threshold", "ThresholdMetricId", "TreatMissingData",
    "Unit",
)  # fmt: skip


def _create(work: Work) -> Product:
    name = work.properties.get("AlarmName") or work.name()
    found = work.call("cloudwatch", "describe_alarms", AlarmNames=[name])
    if found["MetricAlarms"]:
        raise Failed(f"{name} already exists")
    tags = {"Tags": listed(work.tags)} if work.tags else {}
    work.call("cloudwatch", "put_metric_alarm", AlarmName=name, **work.given(*_PLAIN), **tags)
    return Product(name, {"Arn": work.arn("cloudwatch", f"alarm:{name}")})


def _update(work: Work) -> Product:
    name, arn = work.physical_id, str(work.attributes["Arn"])
    work.call("cloudwatch", "put_metric_alarm", AlarmName=name, **work.given(*_PLAIN))
    if differ(work):
        if gone := removed(work):
            work.call("cloudwatch", "untag_resource", ResourceARN=arn, TagKeys=gone)
        if work.tags:
            work.call("cloudwatch", "tag_resource", ResourceARN=arn, Tags=listed(work.tags))
    return Product(name, work.attributes)


def _delete(work: Work) -> None:
    with work.absent("cloudwatch", "ResourceNotFound", "ResourceNotFoundException"):
        work.call("cloudwatch", "delete_alarms", AlarmNames=[work.physical_id])


_QUIET = "nobody evaluates alarms here"

KINDS = (
    Kind(
        type="AWS::CloudWatch::Alarm",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset({*_PLAIN, "AlarmName"}),
        ignored={
            "ActionConfiguration": _QUIET,
            "EvaluationCriteria": _QUIET,
            "EvaluationInterval": _QUIET,
            "EvaluationWindow": _QUIET,
            "WarmUpConfiguration": _QUIET,
        },
        replaced=frozenset({"AlarmName"}),
        attributes=("Arn",),
        naming="AlarmName",
        tags="list",
    ),
)
