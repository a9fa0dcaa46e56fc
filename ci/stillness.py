"""Whether anything in a cloud still waits or works."""

from __future__ import annotations

import json
from typing import Any

from ci import aws
from ci.cloud import Cloud

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Stillness:
    """Looks at queues and executions, those whose names begin with ``prefix``."""

    def __init__(self, cloud: Cloud, prefix: str = "") -> None:
        self._sqs, self._states = cloud.client("sqs"), cloud.client("stepfunctions")
        self._prefix = prefix

    def broken(self) -> bool:
        """Whether a message lies in a queue that is no dead-letter queue, or an execution runs.

        Raises PipelineError where the cloud does not answer.
        """
        return self._executions() or self._messages() or self._executions()

    def _messages(self) -> bool:
        with aws.explained("Amazon SQS", "sqs:GetQueueAttributes"):
            pages = self._sqs.get_paginator("list_queues").paginate(
                **({"QueueNamePrefix": self._prefix} if self._prefix else {})
            )
            urls = [url for page in pages for url in page.get("QueueUrls", [])]
            about = {url: self._attributes(url) for url in urls}
        dead = {
            json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]
            for attributes in about.values()
            if "RedrivePolicy" in attributes
        }
        return any(
            any(int(attributes.get(name, 0)) for name in COUNTS)
            for attributes in about.values()
            if attributes["QueueArn"] not in dead
        )

    def _attributes(self, url: str) -> dict[str, str]:
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        except self._sqs.exceptions.QueueDoesNotExist:
            return {"QueueArn": ""}  # deleted since it was listed
        found: dict[str, str] = answer["Attributes"]
        return found

    def _executions(self) -> bool:
        with aws.explained("AWS Step Functions", "states:ListExecutions"):
            pages = self._states.get_paginator("list_state_machines").paginate()
            machines = [each for page in pages for each in page["stateMachines"]]
            return any(
                self._runs(each) for each in machines if each["name"].startswith(self._prefix)
            )

    def _runs(self, machine: dict[str, Any]) -> bool:
        answer = self._states.list_executions(
            stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING", maxResults=1
        )
        return bool(answer["executions"])
