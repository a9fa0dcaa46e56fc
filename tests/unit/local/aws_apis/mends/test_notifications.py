"""S3 tells a queue of its objects, in the form that S3's own events have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest
from kit.local_cloud import LocalCloud, deploy

Told = Callable[[], list[dict[str, Any]]]


def template(name: str) -> dict[str, Any]:
    """A versioned bucket that notifies a queue; the queue lets S3 in."""
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
                 "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": "rQueue.Arn"}}  # fmt: skip
    policy = {"Queues": [{"Ref": "rQueue"}], "PolicyDocument": {"Statement": [statement]}}
    rules = {"S3Key": {"Rules": [{"Name": "prefix", "Value": "in/"}]}}
    configurations = [
        {"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": "rQueue.Arn"}, "Filter": rules},
        {"Event": "s3:ObjectRemoved:*", "Queue": {"Fn::GetAtt": "rQueue.Arn"}},
    ]
    bucket = {
        "BucketName": name,
        "VersioningConfiguration": {"Status": "Enabled"},
        "NotificationConfiguration": {"QueueConfigurations": configurations},
    }
    return {
        "Resources": {
            "rQueue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}},
            "rPolicy": {"Type": "AWS::SQS::QueuePolicy", "Properties": policy},
            "rBucket": {"Type": "AWS::S3::Bucket", "DependsOn": "rPolicy", "Properties": bucket},
        }
    }


@pytest.fixture(scope="module")
def bucket(cloud: LocalCloud) -> str:
    assert deploy(cloud, "notifies", template("notifies"))["StackStatus"] == "CREATE_COMPLETE"
    return "notifies"


@pytest.fixture
def told(cloud: LocalCloud, bucket: str) -> Told:
    """The events since the last question."""
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=bucket)["QueueUrl"]

    def ask() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found += json.loads(message["Body"]).get("Records", [])
        return found

    ask()
    return ask


def test_the_first_message_is_s3s_test(cloud: LocalCloud) -> None:
    deploy(cloud, "tests", template("tests-bucket"))
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="tests-bucket")["QueueUrl"]
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"])["Event"] == "s3:TestEvent"


@pytest.mark.parametrize(
    ("key", "told_as"),
    [
        ("in/plain.json", "in/plain.json"),
        ("in/two words.json", "in/two+words.json"),
        ("in/one+one.json", "in/one%2Bone.json"),
        ("in/Größe=1&x~*.json", "in/Gr%C3%B6%C3%9Fe%3D1%26x%7E*.json"),
    ],
)
def test_keys_are_encoded_as_s3_does(
    cloud: LocalCloud, bucket: str, told: Told, key: str, told_as: str
) -> None:
    put = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"12345")
    [record] = told()
    about = record["s3"]["object"]
    assert about["key"] == told_as
    assert unquote_plus(about["key"]) == key
    assert about["size"] == 5
    assert about["eTag"] == put["ETag"].strip('"')
    assert about["versionId"] == put["VersionId"]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == bucket


def test_later_events_have_greater_sequencers(cloud: LocalCloud, bucket: str, told: Told) -> None:
    s3 = cloud.client("s3")
    versions = [s3.put_object(Bucket=bucket, Key="in/k", Body=b"x")["VersionId"] for _ in range(3)]
    records = sorted(told(), key=lambda record: int(record["s3"]["object"]["sequencer"], 16))
    assert [each["s3"]["object"]["versionId"] for each in records] == versions


def test_only_what_the_filter_takes(cloud: LocalCloud, bucket: str, told: Told) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key="out/k", Body=b"x")
    assert told() == []


def test_copies_multipart_uploads_and_deletions(cloud: LocalCloud, bucket: str, told: Told) -> None:
    s3 = cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="out/source", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="in/copy", CopySource={"Bucket": bucket, "Key": "out/source"})
    assert [each["eventName"] for each in told()] == ["ObjectCreated:Copy"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/parts")["UploadId"]
    about = {"Bucket": bucket, "Key": "in/parts", "UploadId": upload}
    part = s3.upload_part(PartNumber=1, Body=b"x" * 100, **about)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(MultipartUpload=parts, **about)
    [record] = told()
    assert record["eventName"] == "ObjectCreated:CompleteMultipartUpload"
    assert record["s3"]["object"]["size"] == 100
    s3.delete_object(Bucket=bucket, Key="in/copy")
    [record] = told()
    assert record["eventName"] == "ObjectRemoved:DeleteMarkerCreated"
    assert "size" not in record["s3"]["object"]
    assert record["s3"]["object"]["versionId"]


def test_a_destination_that_does_not_let_s3_in_fails_the_bucket(cloud: LocalCloud) -> None:
    closed = template("closed")
    del closed["Resources"]["rPolicy"], closed["Resources"]["rBucket"]["DependsOn"]
    assert deploy(cloud, "closed", closed)["StackStatus"] == "ROLLBACK_COMPLETE"
    events = cloud.client("cloudformation").describe_stack_events(StackName="closed")
    reasons = [each.get("ResourceStatusReason", "") for each in events["StackEvents"]]
    wanted = "Unable to validate the following destination configurations"
    assert [reason for reason in reasons if wanted in reason]
    s3 = cloud.client("s3")
    assert "closed" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]
