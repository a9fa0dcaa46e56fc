"""The data lake of an environment: where its buckets, tables, queues and state machines are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ci import aws
from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.stillness import COUNTS

DATASET = "engineering/meteorites"
"""Team and name of the sample's dataset."""
TABLES = ("Pipelines", "Datasets", "ObjectMetadata", "PipelineExecutionHistory")


@dataclass(frozen=True)
class Queue:
    """A queue of the lake. ``stage`` is ``routing``, ``a`` or ``b``."""

    name: str
    url: str
    stage: str
    dead: bool
    messages: int


@dataclass(frozen=True)
class Lake:
    """A deployed data lake. Calls raise PipelineError where the cloud refuses or is silent."""

    cloud: Cloud
    environment: str
    central: str
    stage: str

    @property
    def prefix(self) -> str:
        """What the names of its queues and state machines begin with."""
        return f"{self.environment}-datalake-"

    def client(self, service: str) -> Any:
        """A boto3 client; made once, for that costs more than most calls."""
        return _client(self.cloud, service)

    def table(self, name: str) -> str:
        """The name of one of ``TABLES``."""
        return f"octagon-{name}-{self.environment}"

    def function(self, name: str) -> str:
        return f"{self.environment}-{name}"

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of the objects in a bucket, without the ones that only stand for folders."""
        with aws.explained("Amazon S3", "s3:ListBucket"):
            pages = self.client("s3").get_paginator("list_objects_v2")
            listed = pages.paginate(Bucket=bucket, Prefix=prefix)
            found = [each["Key"] for page in listed for each in page.get("Contents", [])]
        return [key for key in found if not key.endswith("/")]

    def records(self) -> dict[str, dict[str, Any]]:
        """What is known of each object, by its s3:// URL; values are plain."""
        with aws.explained("Amazon DynamoDB", "dynamodb:Scan"):
            pages = self.client("dynamodb").get_paginator("scan")
            listed = pages.paginate(TableName=self.table("ObjectMetadata"), ConsistentRead=True)
            items = [plain({"M": item}) for page in listed for item in page["Items"]]
        return {item["id"]: item for item in items}

    def queues(self) -> list[Queue]:
        """Its queues, with how many messages are in them, hidden ones too."""
        sqs = self.client("sqs")
        with aws.explained("Amazon SQS", "sqs:GetQueueAttributes"):
            pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=self.prefix)
            urls = [url for page in pages for url in page.get("QueueUrls", [])]
            return [self._queue(sqs, url) for url in urls]

    def _queue(self, sqs: Any, url: str) -> Queue:
        name = url.rpartition("/")[2]
        given = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTS))["Attributes"]
        shape = name.removesuffix(".fifo")
        dead = shape.endswith("-dlq")
        kind = shape.removesuffix("-dlq").rpartition("-")[2]
        return Queue(name, url, kind, dead, sum(int(given[count]) for count in COUNTS))

    def running(self) -> Iterator[dict[str, Any]]:
        """The inputs of the executions that run."""
        states = self.client("stepfunctions")
        with aws.explained("AWS Step Functions", "states:DescribeExecution"):
            for machine in self.machines():
                pages = states.get_paginator("list_executions")
                for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING"):
                    for execution in page["executions"]:
                        arn = execution["executionArn"]
                        yield json.loads(states.describe_execution(executionArn=arn)["input"])

    def machines(self) -> list[str]:
        """The ARNs of its state machines."""
        states = self.client("stepfunctions")
        with aws.explained("AWS Step Functions", "states:ListStateMachines"):
            pages = states.get_paginator("list_state_machines").paginate()
            found = [machine for page in pages for machine in page["stateMachines"]]
        return [each["stateMachineArn"] for each in found if each["name"].startswith(self.prefix)]

    def invoke(self, function: str, event: object) -> Any:
        """What a function of the lake returns. Raises PipelineError where it fails."""
        client = self.client("lambda")
        name = self.function(function)
        with aws.explained("AWS Lambda", "lambda:InvokeFunction"):
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
            payload = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError"):
            said = payload.get("errorMessage", payload) if isinstance(payload, dict) else payload
            fix = "see its log (locally below out/lambda/)"
            raise PipelineError(f"function {name}", f"failed: {said}", fix)
        return payload


@cache
def _client(cloud: Cloud, service: str) -> Any:
    return cloud.client(service)


def find(cloud: Cloud, environment: str) -> Lake:
    """The lake of an environment, by what its common stack exports. Raises PipelineError where it
    is not deployed."""
    wanted = {f"{environment}-CentralBucket": "", f"{environment}-StageBucket": ""}
    with aws.explained("AWS CloudFormation", "cloudformation:ListExports"):
        pages = _client(cloud, "cloudformation").get_paginator("list_exports").paginate()
        for page in pages:
            for export in page["Exports"]:
                if export["Name"] in wanted:
                    wanted[export["Name"]] = export["Value"]
    for name, value in wanted.items():
        if not value:
            what = f"is not deployed: no stack exports {name}"
            fix = "deploy it (rehearse does so locally), or name its environment with --prefix"
            raise PipelineError(f"data lake {environment}", what, fix)
    return Lake(cloud, environment, *wanted.values())


def plain(value: dict[str, Any]) -> Any:
    """A value of DynamoDB's JSON as Python's. Numbers stay text: nothing here reckons with them."""
    [(kind, given)] = value.items()
    match kind:
        case "M":
            return {name: plain(each) for name, each in given.items()}
        case "L":
            return [plain(each) for each in given]
        case "NULL":
            return None
    return given
