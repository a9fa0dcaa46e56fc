"""A data lake in moto, in this process: what the sample's commands look at."""

import json

import pytest

from ci.aws import Credentials
from ci.cloud import Cloud
from ci.sample.lake import TABLES, _client, find

EXPORTS = {
    "Resources": {
        name: {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name.lower()}}
        for name in ("Central", "Stage")
    },
    "Outputs": {
        name: {"Value": {"Ref": name}, "Export": {"Name": f"dev-{name}Bucket"}}
        for name in ("Central", "Stage")
    },
}
MACHINE = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}}


class Lab:
    """A lake, and ways to bring its objects into any state."""

    def __init__(self, cloud):
        _client(cloud, "cloudformation").create_stack(
            StackName="common", TemplateBody=json.dumps(EXPORTS)
        )
        self.lake = find(cloud, "dev")
        dynamodb = self.client("dynamodb")
        for table in TABLES:
            key = "name" if table in ("Pipelines", "Datasets") else "id"
            dynamodb.create_table(
                TableName=self.lake.table(table),
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self.queues = {}
        for name in ("routing", "engineering-main-stage-a", "engineering-meteorites-stage-b"):
            for suffix in ("-dlq", ""):
                fifo = "" if name == "routing" else ".fifo"
                self._queue(f"{name}{suffix}", fifo)
        self.machine = self.client("stepfunctions").create_state_machine(
            name="dev-datalake-engineering-main-stage-a",
            definition=json.dumps(MACHINE),
            roleArn="arn:aws:iam::123456789012:role/any",
        )["stateMachineArn"]

    def _queue(self, name, fifo):
        attributes = {"FifoQueue": "true"} if fifo else {}
        if not name.endswith("-dlq"):
            arn = f"arn:aws:sqs:us-east-1:123456789012:dev-datalake-{name}-dlq{fifo}"
            policy = {"deadLetterTargetArn": arn, "maxReceiveCount": 3}
            attributes["RedrivePolicy"] = json.dumps(policy)
        made = self.client("sqs").create_queue(
            QueueName=f"dev-datalake-{name}{fifo}", Attributes=attributes
        )
        self.queues[name] = made["QueueUrl"]

    def client(self, service):
        return self.lake.client(service)

    def put(self, key, bucket=None, body=b"x"):
        bucket = bucket or self.lake.central
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def record(self, url, status, **facts):
        item = {"id": url, "status": status, **facts}
        self.client("dynamodb").put_item(
            TableName=self.lake.table("ObjectMetadata"),
            Item={name: {"S": value} for name, value in item.items()},
        )

    def send(self, queue, body):
        url = self.queues[queue]
        unique = str(hash(json.dumps(body)))
        fifo = {"MessageGroupId": unique, "MessageDeduplicationId": unique}
        self.client("sqs").send_message(
            QueueUrl=url, MessageBody=json.dumps(body), **(fifo if url.endswith(".fifo") else {})
        )

    def start(self, name, item):
        return self.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, name=name, input=json.dumps(item)
        )["executionArn"]

    def converted(self, name):
        """An object with all that its way leaves behind."""
        url = self.put(f"engineering/meteorites/{name}.json")
        csv = self.put(f"pre-stage/engineering/meteorites/{name}.csv", self.lake.stage)
        parquet = self.put("post-stage/engineering/meteorites/e.parquet", self.lake.stage)
        self.record(url, "COMPLETED", result=csv)
        self.record(csv, "COMPLETED", result=parquet)
        return url


@pytest.fixture
def lab(monkeypatch):
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield Lab(Cloud("123456789012", "us-east-1", "", Credentials("test", "test")))
