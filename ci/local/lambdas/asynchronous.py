"""Asynchronous invocations: queued, repeated, and in the end told to a destination.

Source: "Invoking a Lambda function asynchronously" and "Capturing records of Lambda asynchronous
invocations", AWS Lambda Developer Guide.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread

from ci import aws
from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.local.lambdas.diary import Diary
from ci.local.lambdas.fleet import TooLate
from ci.local.lambdas.functions import NoSuchFunction, NotServed, plain_name
from ci.local.lambdas.invocations import Invocations
from ci.local.lambdas.runtime_api import Result

RETRIES = 2
LONGEST_AGE = 6 * 3600.0
WAITS = (60.0, 120.0)
"""Seconds before the first and the second repetition."""


@dataclass(frozen=True)
class _Settings:
    """What becomes of failures. Destinations and the dead-letter queue are ARNs, or blank."""

    retries: int = RETRIES
    longest_age: float = LONGEST_AGE
    on_success: str = ""
    on_failure: str = ""
    dead_letters: str = ""


@dataclass(frozen=True)
class _Event:
    name: str
    payload: bytes
    request_id: str


class Asynchronous:
    """Works off events. ``pace`` is how much faster than on AWS the waits between attempts pass;
    an event's age counts in real time, as its work does."""

    def __init__(self, cloud: Cloud, invocations: Invocations, diary: Diary, pace: float) -> None:
        self._cloud, self._invocations = cloud, invocations
        self._diary, self._pace = diary, pace
        self._lambda = cloud.client("lambda")
        self._tasks: set[asyncio.Task[None]] = set()
        self._recurring: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Events that are not done with, recurring ones left out: there always are some."""
        return len(self._tasks - self._recurring)

    def submit(self, name: str, payload: bytes, *, recurring: bool = False) -> str:
        """Take an event for a function; the id of its request."""
        event = _Event(name, payload or b"{}", str(uuid.uuid4()))
        task = asyncio.create_task(self._work_off(event))
        for tasks in (self._tasks, *([self._recurring] if recurring else [])):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return event.request_id

    async def close(self) -> None:
        """Give up what is not done with."""
        if self._tasks:
            self._diary.say(f"{len(self._tasks)} asynchronous events were given up with the host")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work_off(self, event: _Event) -> None:
        try:
            settings = await to_thread.run_sync(self._settings, event.name)
            attempts, result, why = await self._attempts(event, settings)
            await to_thread.run_sync(self._tell, event, settings, attempts, result, why)
        except (NoSuchFunction, NotServed, PipelineError) as error:
            self._diary.say(f"event {event.request_id} for {event.name} is lost: {error}")

    async def _attempts(self, event: _Event, settings: _Settings) -> tuple[int, Result | None, str]:
        """How often it was tried, the last result, and the condition, in Lambda's word for it."""
        until = time.monotonic() + settings.longest_age
        result: Result | None = None
        attempt = 0
        while True:
            try:
                result = await self._invocations.invoke(
                    event.name, event.payload, request_id=event.request_id, until=until
                )
            except TooLate:
                return attempt, result, "EventAgeExceeded"
            attempt += 1
            if result.ok:
                return attempt, result, "Success"
            if attempt > settings.retries:
                return attempt, result, "RetriesExhausted"
            wait = WAITS[min(attempt, len(WAITS)) - 1] / self._pace
            if time.monotonic() + wait > until:
                return attempt, result, "EventAgeExceeded"
            await asyncio.sleep(wait)

    def _settings(self, name: str) -> _Settings:
        client = self._lambda
        with aws.explained("AWS Lambda", "lambda:GetFunctionEventInvokeConfig"):
            try:
                given = client.get_function_event_invoke_config(FunctionName=name)
            except client.exceptions.ResourceNotFoundException:
                given = {}
            try:
                configuration = client.get_function_configuration(FunctionName=name)
            except client.exceptions.ResourceNotFoundException as error:
                raise NoSuchFunction(f"Function not found: {name}") from error
        destinations = given.get("DestinationConfig") or {}
        return _Settings(
            retries=given.get("MaximumRetryAttempts", RETRIES),
            longest_age=given.get("MaximumEventAgeInSeconds", LONGEST_AGE),
            on_success=(destinations.get("OnSuccess") or {}).get("Destination", ""),
            on_failure=(destinations.get("OnFailure") or {}).get("Destination", ""),
            dead_letters=(configuration.get("DeadLetterConfig") or {}).get("TargetArn", ""),
        )

    def _tell(
        self, event: _Event, settings: _Settings, attempts: int, result: Result | None, why: str
    ) -> None:
        """Hands the outcome to the destination that is set for it."""
        if why != "Success":
            self._diary.say(f"event {event.request_id} for {event.name} failed: {why}")
            if settings.dead_letters:
                self._bury(event, settings.dead_letters, result)
        target = settings.on_success if why == "Success" else settings.on_failure
        if target:
            record = self._record(event, attempts, result, why)
            with aws.explained(f"destination {target}", "the action that delivers to it"):
                self._deliver(target, event, record, why)

    def _record(
        self, event: _Event, attempts: int, result: Result | None, why: str
    ) -> dict[str, Any]:
        about: dict[str, Any] = {}
        if result:
            about["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST"}
            if not result.ok:
                about["responseContext"]["functionError"] = "Unhandled"
            about["responsePayload"] = _json(result.payload)
        return {
            "version": "1.0",
            "timestamp": _now(),
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": f"{self._arn(event.name)}:$LATEST",
                "condition": why,
                "approximateInvokeCount": attempts,
            },
            "requestPayload": _json(event.payload),
            **about,
        }

    def _deliver(self, target: str, event: _Event, record: dict[str, Any], why: str) -> None:
        text = json.dumps(record)
        match target.split(":")[2]:
            case "sqs":
                sqs = self._cloud.client("sqs")
                url = sqs.get_queue_url(QueueName=target.rpartition(":")[2])["QueueUrl"]
                sqs.send_message(QueueUrl=url, MessageBody=text)
            case "sns":
                self._cloud.client("sns").publish(TopicArn=target, Message=text)
            case "lambda":
                self._lambda.invoke(
                    FunctionName=plain_name(target), InvocationType="Event", Payload=text
                )
            case "events":
                kind = "Success" if why == "Success" else "Failure"
                entry = {
                    "Source": "lambda",
                    "DetailType": f"Lambda Function Invocation Result - {kind}",
                    "Resources": [f"{self._arn(event.name)}:$LATEST", target],
                    "Detail": text,
                    "EventBusName": target.rpartition("/")[2],
                }
                self._cloud.client("events").put_events(Entries=[entry])
            case other:
                self._diary.say(f"{target}: no destination of service {other} is served")

    def _bury(self, event: _Event, target: str, result: Result | None) -> None:
        """Puts the event itself into a dead-letter queue or topic."""
        message = _json(result.payload) if result else {}
        attributes = {
            "RequestID": event.request_id,
            "ErrorCode": "200",
            "ErrorMessage": str((message or {}).get("errorMessage", ""))[:1024],
        }
        given = {
            name: {"DataType": "String", "StringValue": value or "-"}
            for name, value in attributes.items()
        }
        body = event.payload.decode()
        with aws.explained(f"dead letters {target}", "sqs:SendMessage or sns:Publish"):
            if target.split(":")[2] == "sqs":
                sqs = self._cloud.client("sqs")
                url = sqs.get_queue_url(QueueName=target.rpartition(":")[2])["QueueUrl"]
                sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=given)
            else:
                sns = self._cloud.client("sns")
                sns.publish(TopicArn=target, Message=body, MessageAttributes=given)

    def _arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self._cloud.region}:{self._cloud.account}:function:{name}"


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
