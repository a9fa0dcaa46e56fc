"""Asynchronous events: when they are repeated, given up, and what is told of them then."""

import asyncio
import json

import pytest

from ci.aws import Credentials
from ci.cloud import Cloud
from ci.local.lambdas.asynchronous import Asynchronous
from ci.local.lambdas.diary import Diary
from ci.local.lambdas.fleet import TooLate
from ci.local.lambdas.runtime_api import Result

QUEUE = "arn:aws:sqs:us-east-1:123456789012:told"
GOOD = Result(b'"done"')
BAD = Result.error("ValueError", "no")


class Scripted:
    """In the place of invocations: gives or raises what it is told to, one after the other."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    async def invoke(self, name, event, *, request_id, until):
        self.calls.append((name, event, request_id))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def deliver(monkeypatch, tmp_path):
    """Works an event off; the calls that were made and the messages that were told."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config={"lambda": {"use_docker": False}}):
        queue = boto3.client("sqs").create_queue(QueueName="told")["QueueUrl"]
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
        client = boto3.client("lambda")
        client.create_function(
            FunctionName="f", PackageType="Image", Code={"ImageUri": "registry/image:tag"},
            Role=role["Role"]["Arn"],
        )  # fmt: skip
        diary = Diary(tmp_path)

        def run(*outcomes, recurring=False, name="f", **config):
            if config:
                client.put_function_event_invoke_config(FunctionName="f", **config)
            scripted = Scripted(*outcomes)
            cloud = Cloud("123456789012", "us-east-1", "", Credentials("test", "test"))

            async def main():
                events = Asynchronous(cloud, scripted, diary, 6000)
                events.submit(name, b'{"a": 1}', recurring=recurring)
                assert events.pending == (0 if recurring else 1)
                while events._tasks:
                    await asyncio.wait(events._tasks)
                assert events.pending == 0

            asyncio.run(asyncio.wait_for(main(), 20))
            answer = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            told = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
            return scripted.calls, told, diary.path.read_text()

        yield run


def test_what_succeeds_is_not_repeated(deliver):
    calls, told, _ = deliver(GOOD)
    assert [(name, event) for name, event, _ in calls] == [("f", b'{"a": 1}')]
    assert told == []


def test_a_failure_is_repeated_twice_under_the_same_id(deliver):
    calls, _, diary = deliver(BAD, BAD, BAD)
    assert len(calls) == 3
    assert len({request_id for *_, request_id in calls}) == 1
    assert "for f failed: RetriesExhausted" in diary


def test_a_second_attempt_that_succeeds_is_a_success(deliver):
    destination = {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": QUEUE}}
    calls, [record], _ = deliver(BAD, GOOD, DestinationConfig=destination)
    assert len(calls) == 2
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"] == "done"


def test_what_may_not_be_repeated_is_not(deliver):
    destination = {"OnFailure": {"Destination": QUEUE}}
    calls, [record], _ = deliver(BAD, MaximumRetryAttempts=0, DestinationConfig=destination)
    assert len(calls) == 1
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"] == {"a": 1}
    assert record["responsePayload"] == {"errorType": "ValueError", "errorMessage": "no"}


def test_what_finds_an_environment_too_late_never_began(deliver):
    destination = {"OnFailure": {"Destination": QUEUE}}
    _, [record], _ = deliver(TooLate(), DestinationConfig=destination)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responsePayload" not in record


def test_events_that_recur_are_no_work_in_flight(deliver):
    calls, _, _ = deliver(GOOD, recurring=True)
    assert len(calls) == 1


def test_an_event_for_a_function_that_is_not_there_is_told(deliver):
    calls, _, diary = deliver(name="nobody")
    assert calls == []
    assert "for nobody is lost: Function not found: nobody" in diary
