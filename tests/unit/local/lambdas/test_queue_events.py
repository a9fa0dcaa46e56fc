import json

import pytest

from ci.local.lambdas import queue_events
from ci.local.lambdas.runtime_api import Result

ARN = "arn:aws:sqs:eu-west-1:123456789012:q.fifo"
IDS = {"1", "2"}


def test_a_message_has_the_fields_that_lambda_gives_it():
    message = {
        "MessageId": "1",
        "ReceiptHandle": "handle",
        "Body": "ä",
        "MD5OfBody": "digest",
        "MD5OfMessageAttributes": "other digest",
        "Attributes": {"MessageGroupId": "g", "ApproximateReceiveCount": "2"},
        "MessageAttributes": {"n": {"StringValue": "v", "DataType": "String"}},
    }
    [record] = json.loads(queue_events.event([message], ARN))["Records"]
    assert record == {
        "messageId": "1",
        "receiptHandle": "handle",
        "body": "ä",
        "attributes": {"MessageGroupId": "g", "ApproximateReceiveCount": "2"},
        "messageAttributes": {
            "n": {
                "stringValue": "v",
                "dataType": "String",
                "stringListValues": [],
                "binaryListValues": [],
            }
        },
        "md5OfMessageAttributes": "other digest",
        "md5OfBody": "digest",
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "eu-west-1",
    }


@pytest.mark.parametrize("answer", [b"", b"null", b"{}", b'{"batchItemFailures": []}',
                                    b'{"batchItemFailures": null}', b'{"other": 1}'])  # fmt: skip
def test_nothing_named_is_all_well(answer):
    assert queue_events.failed(Result(answer), IDS, single=True) == set()


def test_what_is_named_failed_and_no_other():
    answer = b'{"batchItemFailures": [{"itemIdentifier": "2"}]}'
    assert queue_events.failed(Result(answer), IDS, single=True) == {"2"}
    assert queue_events.failed(Result(answer), IDS, single=False) == set()


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        b'"text"',
        b"[1]",
        b'{"batchItemFailures": "2"}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifer": "2"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "3"}]}',
        b'{"batchItemFailures": ["2"]}',
    ],
)
def test_an_answer_that_makes_no_sense_fails_the_batch(answer):
    assert queue_events.failed(Result(answer), IDS, single=True) == IDS


@pytest.mark.parametrize("single", [True, False])
def test_an_error_fails_the_batch(single):
    assert queue_events.failed(Result.error("E", "m"), IDS, single=single) == IDS
