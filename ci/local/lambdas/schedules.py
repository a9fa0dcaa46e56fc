"""Rules of EventBridge with a schedule: they invoke their functions, faster than time passes."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio import to_thread

from ci import aws
from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.local.lambdas.asynchronous import Asynchronous
from ci.local.lambdas.clockwork import BadExpression, Cron, Rate, parse
from ci.local.lambdas.diary import Diary
from ci.local.lambdas.functions import plain_name

LOOK_EVERY = 2.0
"""Seconds between two looks at which rules there are."""


@dataclass(frozen=True)
class Target:
    """A function that a rule invokes. At most one of the inputs is set."""

    function: str
    input: str | None = None
    input_path: str | None = None
    transformer: str | None = None
    """JSON of the rule's InputTransformer."""


@dataclass(frozen=True)
class Rule:
    arn: str
    expression: str
    targets: tuple[Target, ...]


class Schedules:
    """Invokes functions by the clock for as long as ``run`` runs.

    The clock starts at the real time and runs ``pace`` times as fast.
    """

    def __init__(self, cloud: Cloud, events: Asynchronous, diary: Diary, pace: float) -> None:
        self._cloud, self._events, self._diary, self._pace = cloud, events, diary, pace
        self._client = cloud.client("events")
        self._began, self._epoch = time.monotonic(), datetime.now(UTC)
        self._due: dict[Rule, datetime | None] = {}

    async def run(self) -> None:
        looked = float("-inf")
        while True:
            if time.monotonic() - looked > LOOK_EVERY:
                await self._look()
                looked = time.monotonic()
            now = self._now()
            for rule, due in self._due.items():
                if due and due <= now:
                    self._fire(rule, due)
                    # What was missed, as while the machine slept, is not made up for.
                    self._due[rule] = _clock(rule).after(max(due, now - timedelta(minutes=1)))
            await asyncio.sleep(min(0.2, 30 / self._pace))

    def _now(self) -> datetime:
        passed = (time.monotonic() - self._began) * self._pace
        return self._epoch + timedelta(seconds=passed)

    async def _look(self) -> None:
        try:
            rules = await to_thread.run_sync(self._rules)
        except PipelineError as error:
            self._diary.trouble("rules", str(error))
            return
        self._diary.well("rules")
        known = self._due
        self._due = {}
        for rule in rules:
            try:
                first = _clock(rule).after(self._now())
            except BadExpression as error:
                self._diary.trouble(rule.arn, str(error))
                continue
            self._due[rule] = known.get(rule, first)

    def _rules(self) -> list[Rule]:
        with aws.explained("Amazon EventBridge", "events:ListRules"):
            pages = self._client.get_paginator("list_rules").paginate()
            rules = [rule for page in pages for rule in page["Rules"]]
            return [
                Rule(rule["Arn"], rule["ScheduleExpression"], self._targets(rule))
                for rule in rules
                if rule.get("ScheduleExpression") and rule.get("State") == "ENABLED"
            ]

    def _targets(self, rule: Mapping[str, Any]) -> tuple[Target, ...]:
        listed = self._client.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        others = [each["Arn"] for each in listed if ":lambda:" not in each["Arn"]]
        for arn in others:
            self._diary.trouble(f"{rule['Arn']} → {arn}", "only functions are invoked by the clock")
        return tuple(
            Target(
                plain_name(each["Arn"]),
                each.get("Input"),
                each.get("InputPath"),
                json.dumps(each["InputTransformer"]) if each.get("InputTransformer") else None,
            )
            for each in listed
            if each["Arn"] not in others
        )

    def _fire(self, rule: Rule, due: datetime) -> None:
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": self._cloud.account,
            "time": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self._cloud.region,
            "resources": [rule.arn],
            "detail": {},
        }
        for target in rule.targets:
            given = payload(target, event, rule.arn).encode()
            self._events.submit(target.function, given, recurring=True)


def _clock(rule: Rule) -> Rate | Cron:
    return parse(rule.expression)


def payload(target: Target, event: Mapping[str, Any], rule_arn: str) -> str:
    """What a target gets of an event. Source: "Amazon EventBridge input transformation"."""
    if target.input is not None:
        return target.input
    if target.input_path is not None:
        return json.dumps(_at(event, target.input_path))
    if target.transformer is None:
        return json.dumps(event)
    given = json.loads(target.transformer)
    found = {name: _at(event, path) for name, path in given.get("InputPathsMap", {}).items()}
    found |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_arn.rpartition("/")[2],
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": event,
        "aws.events.event.json": event,
    }
    return _filled(given["InputTemplate"], found)


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """Text within quotes stays text; anywhere else a value is JSON."""
    pieces = re.split(r'("(?:[^"\\]|\\.)*")', template)

    def in_text(match: re.Match[str]) -> str:
        value = values.get(match[1], "")
        text = value if isinstance(value, str) else json.dumps(value)
        return json.dumps(text)[1:-1]

    def bare(match: re.Match[str]) -> str:
        return json.dumps(values.get(match[1], ""))

    for at, piece in enumerate(pieces):
        pieces[at] = re.sub(r"<([\w.-]+)>", in_text if piece.startswith('"') else bare, piece)
    return "".join(pieces)


def _at(event: Any, path: str) -> Any:
    """``$.detail.names[0]``; None where there is nothing."""
    found = event
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", path.removeprefix("$")):
        try:
            found = found[int(index)] if index else found[name]
        except (KeyError, IndexError, TypeError):
            return None
    return found
