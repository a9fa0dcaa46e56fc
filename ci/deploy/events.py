"""Follows a stack operation by its events, to its end, and finds what failed first.

Source: AWS CloudFormation API Reference, DescribeStackEvents: newest first, of a deleted stack by
its id for 90 days.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ci.aws import Transient
from ci.deploy import states
from ci.deploy.desk import Desk
from ci.deploy.found import STACK
from ci.errors import PipelineError

_CANCELLED = "cancelled"
"""In the reason of a resource that was given up because another one failed."""
_ID = re.compile(r"arn:[a-z-]+:cloudformation:\S+:stack/[A-Za-z0-9/-]+")
_PATIENCE = 5
"""Looks in a row without an answer, each of which boto3 has tried eight times itself."""
_WORDS = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "IMPORT": "imported"}


@dataclass(frozen=True)
class Event:
    """A line of a stack's story. ``token`` is that of the request that led to it."""

    id: str
    logical_id: str
    physical_id: str
    kind: str
    status: str
    reason: str
    token: str = ""

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")


@dataclass(frozen=True)
class Ending:
    """How an operation ended: the stack's status, and what failed first, if anything did."""

    status: str
    failure: Event | None = None


async def newest(desk: Desk, stack_id: str) -> str:
    """The id of the last event so far; blank where there is none."""
    page = await desk.stacks("DescribeStackEvents", lambda client: _page(client, stack_id, {}))
    events = page["StackEvents"]
    return str(events[0]["EventId"]) if events else ""


async def follow(
    desk: Desk,
    name: str,
    stack_id: str,
    since: str,
    token: str,
    tell: Callable[[Event], None],
    good: Callable[[str], bool] = states.succeeded,
) -> Ending:
    """Follows the operation that began after the event ``since`` to its end. ``token`` is the
    operation's own; blank takes any for it. ``good`` are the states that it is to lead to.

    ``tell`` hears of every event of a resource that came to an end. Raises PipelineError after
    the desk's longest time: CloudFormation goes on by itself.
    """
    deadline = anyio.current_time() + desk.longest
    story: list[Event] = []
    silent = 0
    for looks in itertools.count():
        try:
            fresh = await _after(desk, stack_id, story[-1].id if story else since)
            silent = 0
        except Transient:
            silent += 1
            if silent == _PATIENCE:
                raise
            fresh = []
        fresh = [event for event in fresh if not token or event.token in ("", token)]
        story += fresh
        for event in fresh:
            if event.physical_id != stack_id and states.ended(event.status):
                tell(event)
        if ending := _ending(story, stack_id):
            failure = None
            if not good(ending):
                failure = await first_failure(desk, story, stack_id)
            return Ending(ending, failure)
        if anyio.current_time() > deadline:
            what = f"is still at work after {desk.longest:.0f} s"
            fix = "CloudFormation goes on by itself; look at the stack later, or raise --timeout"
            raise PipelineError(f"stack {name}", what, fix)
        await desk.pause(looks)
    raise AssertionError("unreachable: it is followed until it ends")


async def first_failure(desk: Desk, story: Sequence[Event], stack_id: str) -> Event | None:
    """The first resource that failed for a reason of its own, of a nested stack where it was one.

    Others fail because of it: they are cancelled, or belong to the stack that it fails.
    """
    failures = [each for each in story if each.failed and each.physical_id != stack_id]
    own = [each for each in failures if _CANCELLED not in each.reason]
    for event in own or failures:
        if event.kind == STACK and (named := _ID.search(f"{event.physical_id} {event.reason}")):
            within = await history(desk, named[0], event.status)
            if deeper := await first_failure(desk, within, named[0]):
                return deeper
        return event
    of_stack = [each for each in story if each.physical_id == stack_id and each.reason]
    return of_stack[-1] if of_stack else None


async def history(desk: Desk, stack_id: str, status: str) -> list[Event]:
    """The events of the operation that led a stack to ``status``, and of what followed, oldest
    first."""
    story = await _after(desk, stack_id, "")
    verb = status.partition("_")[0]
    began = f"{'CREATE' if verb == 'ROLLBACK' else verb}_IN_PROGRESS"
    starts = [
        index
        for index, each in enumerate(story)
        if each.physical_id == stack_id and each.status == began
    ]
    return story[starts[-1] :] if starts else story


def told(event: Event) -> str:
    """An event's end in words: ``✓ rTable created``."""
    verb, _, outcome = event.status.rpartition("_")
    if event.status == "DELETE_SKIPPED":
        return f"= {event.logical_id} kept ({event.kind})"
    if outcome == "FAILED":
        return f"✗ {event.logical_id} {verb.lower()} failed ({event.kind}): {event.reason}"
    return f"✓ {event.logical_id} {_WORDS.get(verb, event.status.lower())} ({event.kind})"


def _ending(story: Sequence[Event], stack_id: str) -> str:
    """The status in which the operation left the stack; blank while it goes on."""
    own = [event.status for event in story if event.physical_id == stack_id]
    return own[-1] if own and states.ended(own[-1]) else ""


async def _after(desk: Desk, stack_id: str, since: str) -> list[Event]:
    """The events after one, oldest first; all without one."""

    def asked(client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = _page(client, stack_id, more)
            for event in page["StackEvents"]:
                if event["EventId"] == since:
                    return found
                found.append(event)
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    return list(_read(await desk.stacks("DescribeStackEvents", asked)))


def _page(client: Any, stack_id: str, more: dict[str, str]) -> dict[str, Any]:
    return dict(client.describe_stack_events(StackName=stack_id, **more))


def _read(events: Sequence[dict[str, Any]]) -> Iterator[Event]:
    for each in reversed(events):
        yield Event(
            each["EventId"],
            each.get("LogicalResourceId") or "",
            each.get("PhysicalResourceId") or "",
            each.get("ResourceType") or "",
            each["ResourceStatus"],
            each.get("ResourceStatusReason") or "",
            each.get("ClientRequestToken") or "",
        )
