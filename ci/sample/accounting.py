"""Where every object of the central bucket has come to; the sum is proved.

An object is converted (its rows are in a Parquet file), failed (with a reason), in work (an
execution has it) or queued. Messages in a queue cannot be looked at without taking them, so those
that should be queued are counted against what the queue holds. What is left is unaccounted for.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from ci import aws
from ci.sample.lake import Lake, Queue

CONVERTED, FAILED, WORKING, QUEUED = "converted", "failed", "in work", "queued"
UNACCOUNTED = "unaccounted for"
KINDS = (CONVERTED, FAILED, WORKING, QUEUED, UNACCOUNTED)
LOOKS, PAUSE = 4, 0.5
"""Looks before an object counts as lost, and the seconds between them."""
_SECONDS = 30  # for which a dead letter is hidden while it is looked at


@dataclass(frozen=True)
class Entry:
    """An object and where it stands; ``detail`` is its result, its reason or its place."""

    key: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Account:
    """All objects, by key."""

    bucket: str
    entries: tuple[Entry, ...]

    @property
    def counts(self) -> Counter[str]:
        return Counter(entry.kind for entry in self.entries)

    @property
    def proved(self) -> bool:
        """Whether nothing is unaccounted for."""
        return not self.counts[UNACCOUNTED]

    def of(self, *kinds: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind in kinds]

    def as_json(self) -> dict[str, Any]:
        counts = {kind: self.counts[kind] for kind in KINDS}
        objects = [{"key": e.key, "is": e.kind, "detail": e.detail} for e in self.entries]
        return {"bucket": self.bucket, "uploaded": len(self.entries), **counts, "objects": objects}


@dataclass
class _Scene:
    """All that is known at a moment. ``dead`` has, by URL, how a dead letter came to be one."""

    lake: Lake
    records: Mapping[str, Mapping[str, Any]]
    results: set[str]
    running: set[str]
    dead: Mapping[str, str]
    waiting: Counter[str]
    queued: dict[str, list[Entry]] = field(default_factory=dict)


def take(lake: Lake, prefix: str = "") -> Account:
    """The account of the objects below ``prefix``. Raises PipelineError where the cloud refuses.

    What moves may be seen at no place by one look: only what several do not see is lost.
    """
    for _ in range(LOOKS - 1):
        if (found := _look(lake, prefix)).proved:
            return found
        time.sleep(PAUSE)
    return _look(lake, prefix)


def _look(lake: Lake, prefix: str) -> Account:
    """Looks at queues and executions before and after the records, which say where to look."""
    keys = lake.keys(lake.central, prefix)
    before = _places(lake)
    records = lake.records()
    after = _places(lake)
    queues = lake.queues()
    dead = {url: why for queue in queues if queue.dead for url, why in _dead_letters(lake, queue)}
    results = {f"s3://{lake.stage}/{key}" for key in lake.keys(lake.stage, "post-stage/")}
    waiting = before[0] | after[0]  # the larger count of each stage
    scene = _Scene(lake, records, results, before[1] | after[1], dead, waiting)
    entries = [_entry(scene, key) for key in keys]
    return Account(lake.central, tuple(_counted(scene, entries)))


def _places(lake: Lake) -> tuple[Counter[str], set[str]]:
    """How many messages wait before each stage, and the objects that executions have: twice each,
    along the way that objects take from queues to executions to queues."""
    waiting: Counter[str] = Counter()
    running: set[str] = set()
    for _ in range(2):
        counts: Counter[str] = Counter()
        for queue in lake.queues():
            counts[queue.stage] += 0 if queue.dead else queue.messages
        waiting |= counts
        running |= {url for item in lake.running() for url in _urls(item)}
    return waiting, running


def _entry(scene: _Scene, key: str) -> Entry:
    url = f"s3://{scene.lake.central}/{key}"
    record = scene.records.get(url, {})
    if record.get("status") == "COMPLETED":
        return _second_half(scene, key, str(record.get("result", "")))
    return _way(scene, key, url, "a" if record else "routing")


def _second_half(scene: _Scene, key: str, csv: str) -> Entry:
    """Where the CSV file of an object stands."""
    record = scene.records.get(csv, {})
    result = str(record.get("result", ""))
    if record.get("status") != "COMPLETED":
        return _way(scene, key, csv, "b")
    if result in scene.results:
        return Entry(key, CONVERTED, result)
    return Entry(key, UNACCOUNTED, f"{result} is not there")


def _way(scene: _Scene, key: str, url: str, stage: str) -> Entry:
    """Where an object stands on its way through ``stage``."""
    record = scene.records.get(url, {})
    if url in scene.running:
        return Entry(key, WORKING, f"stage {stage}")
    if record.get("status") == "FAILED":
        return Entry(key, FAILED, str(record.get("error", "no reason recorded")))
    if url in scene.dead:
        return Entry(key, FAILED, scene.dead[url])
    entry = Entry(key, QUEUED, "routing" if stage == "routing" else f"stage {stage}")
    scene.queued.setdefault(stage, []).append(entry)
    return entry


def _counted(scene: _Scene, entries: Iterable[Entry]) -> Iterable[Entry]:
    """Entries that say queued hold only as far as the queues hold as many messages."""
    short = {stage for stage, queued in scene.queued.items() if len(queued) > scene.waiting[stage]}
    for entry in entries:
        stage = entry.detail.rpartition(" ")[2]
        if entry.kind == QUEUED and stage in short:
            yield _lost(scene, entry, stage)
        else:
            yield entry


def _lost(scene: _Scene, entry: Entry, stage: str) -> Entry:
    """An object that no queue has: its execution may have ended without a word in the tables."""
    url = f"s3://{scene.lake.central}/{entry.key}"
    record = scene.records.get(url, {})
    if stage == "b":
        record = scene.records.get(str(record.get("result", "")), {})
    if why := _execution(scene.lake, str(record.get("execution", ""))):
        return Entry(entry.key, FAILED, why)
    count = scene.waiting[stage]
    what = f"its record says {record.get('status', 'nothing')}, no execution has it, and "
    what += f"the queues of {entry.detail} hold {count} for {len(scene.queued[stage])} like it"
    return Entry(entry.key, UNACCOUNTED, what)


def _execution(lake: Lake, name: str) -> str:
    """Why an execution failed; blank where it did not, or is not known."""
    states = lake.client("stepfunctions")
    for machine in lake.machines() if name else []:
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        with aws.explained("AWS Step Functions", "states:DescribeExecution"):
            try:
                found = states.describe_execution(executionArn=arn)
            except states.exceptions.ExecutionDoesNotExist:
                continue
        if found["status"] in ("FAILED", "TIMED_OUT", "ABORTED"):
            said = f"{found.get('error', '')}: {found.get('cause', '')}"
            return f"its execution {name} ended {found['status']}: {said}"
    return ""


def _dead_letters(lake: Lake, queue: Queue) -> Iterable[tuple[str, str]]:
    """URLs of the objects in a dead-letter queue, each with how it came there; all stay in it."""
    sqs = lake.client("sqs")
    seen: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    with aws.explained("Amazon SQS", "sqs:ReceiveMessage"):
        try:
            while messages := sqs.receive_message(
                QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=_SECONDS,
                AttributeNames=["ApproximateFirstReceiveTimestamp"],
            ).get("Messages"):  # fmt: skip
                for message in messages:
                    seen[message["MessageId"]] = message["ReceiptHandle"]
                    why = f"in {queue.name}: given up after all attempts; see its function's log"
                    found += [(url, why) for url in _urls(_json(message["Body"]))]
        finally:
            for handle in seen.values():
                sqs.change_message_visibility(
                    QueueUrl=queue.url, ReceiptHandle=handle, VisibilityTimeout=0
                )
    return found


def _urls(item: Any) -> list[str]:
    """The objects that a message or an execution is about."""
    match item:
        case {"Records": [*records]}:
            about = [(r["s3"]["bucket"]["name"], r["s3"]["object"]["key"]) for r in records]
            return [f"s3://{bucket}/{unquote_plus(key)}" for bucket, key in about]
        case {"bucket": bucket, "keys": [*keys]}:
            return [f"s3://{bucket}/{key}" for key in keys]
        case {"bucket": bucket, "key": key}:
            return [f"s3://{bucket}/{key}"]
    return []


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def text(account: Account, *, most: int = 100) -> str:
    """The account for people: every object where there are few, else what did not go well."""
    counts = account.counts
    lines = [f"objects in s3://{account.bucket}"]
    lines += [f"  {kind:16}{counts[kind]:6}" for kind in KINDS if counts[kind] or kind in KINDS[:2]]
    total = sum(counts[kind] for kind in KINDS[:-1])
    lines.append(f"  {'sum':16}{total:6} of {len(account.entries)} uploaded")
    shown = account.entries if len(account.entries) <= most else account.of(FAILED, UNACCOUNTED)
    marks = {CONVERTED: "✓", FAILED: "✗", UNACCOUNTED: "?"}
    for entry in shown[:most]:
        detail = entry.detail.rpartition("/")[2] if entry.kind == CONVERTED else entry.detail
        lines.append(f"{marks.get(entry.kind, '…')} {entry.key} {entry.kind}: {detail}")
    if len(shown) > most:
        lines.append(f"… and {len(shown) - most} more, see account.json")
    return "\n".join(lines)
