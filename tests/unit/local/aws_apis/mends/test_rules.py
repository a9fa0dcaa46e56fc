"""EventBridge: events find their rules, rules their targets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit import function_host, local_cloud
from kit.function_host import FunctionHost
from kit.local_cloud import LocalCloud

PATTERN = {"source": ["own.tests"], "detail": {"kind": ["push"]}}


@pytest.fixture
def host(cloud: LocalCloud) -> Iterator[FunctionHost]:
    with function_host.serving(cloud) as found:
        yield found


def rule(name: str, *targets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    made = {"Name": name, "Targets": [{"Id": str(n), **each} for n, each in enumerate(targets)]}
    return {"Type": "AWS::Events::Rule", "Properties": made | properties}


@pytest.fixture(scope="module", autouse=True)
def stack(cloud: LocalCloud) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
    function = {"FunctionName": "ruled", "Runtime": "python3.13", "Handler": "index.h",
                "Role": {"Fn::GetAtt": "rRole.Arn"}, "Code": {"ZipFile": "x = 1"}}  # fmt: skip
    queue, arn = {"Fn::GetAtt": "rQueue.Arn"}, {"Fn::GetAtt": "rFunction.Arn"}
    transformer = {
        "InputPathsMap": {"who": "$.detail.who", "kind": "$.detail.kind"},
        "InputTemplate": '{"told": [{"name": "<who>", "kind": "<kind>"}]}',
    }
    pipeline = "arn:aws:codepipeline:us-east-1:123456789012:dev-app"
    template = {
        "Resources": {
            "rRole": role,
            "rFunction": {"Type": "AWS::Lambda::Function", "Properties": function},
            "rQueue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "ruled"}},
            "rPush": rule(
                "push", {"Arn": queue}, {"Arn": arn, "InputPath": "$.detail"},
                {"Arn": queue, "InputTransformer": transformer}, {"Arn": pipeline},
                EventPattern=PATTERN,
            ),
            "rOff": rule("off", {"Arn": queue}, EventPattern=PATTERN, State="DISABLED"),
            "rSchedule": rule(
                "schedule", {"Arn": arn, "Input": '{"scheduled": true}'},
                ScheduleExpression="rate(5 minutes)",
            ),
        }
    }  # fmt: skip
    assert local_cloud.deploy(cloud, "rules", template)["StackStatus"] == "CREATE_COMPLETE"


def put(cloud: LocalCloud, **detail: Any) -> None:
    entry = {"Source": "own.tests", "DetailType": "Test", "Detail": json.dumps(detail)}
    answer = cloud.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0


def received(cloud: LocalCloud) -> list[Any]:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="ruled")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(each["Body"]) for each in found]


def test_a_matching_event_reaches_every_target_as_it_wants_it(
    cloud: LocalCloud, host: FunctionHost
) -> None:
    put(cloud, kind="push", who="me")
    whole, transformed = received(cloud)
    assert whole["detail"] == {"kind": "push", "who": "me"}
    assert (whole["source"], whole["detail-type"]) == ("own.tests", "Test")
    assert transformed == {"told": [{"name": "me", "kind": "push"}]}
    [invocation] = host.of("ruled")
    assert invocation.payload == {"kind": "push", "who": "me"}
    assert invocation.headers["x-amz-invocation-type"] == "Event"


def test_another_event_reaches_nobody_and_a_schedule_is_no_event(
    cloud: LocalCloud, host: FunctionHost
) -> None:
    put(cloud, kind="pull")
    assert received(cloud) == []
    assert host.invocations == []


def test_who_puts_an_event_does_not_learn_that_no_function_runs(cloud: LocalCloud) -> None:
    put(cloud, kind="push", who="me")
    assert len(received(cloud)) == 2


def test_the_schedule_is_there_for_who_keeps_time(cloud: LocalCloud) -> None:
    events = cloud.client("events")
    [found] = events.list_rules(NamePrefix="schedule")["Rules"]
    assert found["ScheduleExpression"] == "rate(5 minutes)"
    [target] = events.list_targets_by_rule(Rule="schedule")["Targets"]
    assert json.loads(target["Input"]) == {"scheduled": True}
