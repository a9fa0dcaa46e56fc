"""What happened to each object and each run: the octagon tables.

``octagon-ObjectMetadata`` (key ``id``: the object's s3:// URL) says where an object stands,
``octagon-PipelineExecutionHistory`` (key ``id``) how each execution went, ``octagon-Pipelines``
(key ``name``) how each pipeline's last one did. All writes can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from datalake_library.configuration.settings import setting
from datalake_library.interfaces import dynamo

# Of executions and objects.
STARTED = "STARTED"
PROCESSING = "PROCESSING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
# Of jobs, as AWS Glue spells them.
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"

MOVED_ON = (PROCESSING, COMPLETED, FAILED)
"""An object whose way has begun, and more is known of it already."""


def begin(execution: str, pipeline: str, **facts: Any) -> None:
    """An execution starts; repeated, it keeps its first start time."""
    dynamo.update(
        setting("EXECUTION_HISTORY_TABLE"),
        {"id": execution},
        {"pipeline": pipeline, "status": STARTED, **facts},
        first={"start_timestamp": _now()},
    )


def progress(execution: str, unless: Mapping[str, Any] | None = None, **facts: Any) -> None:
    """Something about an execution became known, such as the state of the job it waits for.

    ``unless`` as in ``dynamo.update``: what is known already that this must not replace.
    """
    dynamo.update(
        setting("EXECUTION_HISTORY_TABLE"),
        {"id": execution},
        {"last_updated_timestamp": _now(), **facts},
        unless=unless,
    )


def end(execution: str, pipeline: str, status: str, **facts: Any) -> None:
    """An execution ended, COMPLETED or FAILED; its pipeline's record tells it, too."""
    now = _now()
    record = (
        dynamo.update(
            setting("EXECUTION_HISTORY_TABLE"),
            {"id": execution},
            {"pipeline": pipeline, "status": status, **facts},
            first={"start_timestamp": now, "end_timestamp": now},
        )
        or {}
    )
    seconds = _parse(record["end_timestamp"]) - _parse(record["start_timestamp"])
    dynamo.update(
        setting("PIPELINES_TABLE"),
        {"name": pipeline},
        {
            "last_execution_id": execution,
            "last_execution_status": status,
            "last_execution_date": record["end_timestamp"][:10],
            "last_execution_timestamp": record["end_timestamp"],
            "last_execution_duration_in_seconds": Decimal(str(seconds.total_seconds())),
            "last_updated_timestamp": now,
        },
    )


def execution(execution_id: str) -> dict[str, Any] | None:
    return dynamo.get(setting("EXECUTION_HISTORY_TABLE"), {"id": execution_id})


def start(url: str, version: str, **facts: Any) -> bool:
    """An object's way begins. False where it has begun for this version and moved on since: then
    it is said for the second time, and there is nothing to do.

    ``version`` is what differs between two ways, such as that of a newer content.
    """
    values = {"status": STARTED, "version": version, "last_updated_timestamp": _now(), **facts}
    unless = {"version": [version], "status": MOVED_ON} if version else {}
    return bool(dynamo.update(setting("OBJECT_METADATA_TABLE"), {"id": url}, values, unless=unless))


def claim(url: str, result: str) -> str:
    """The result in which an object has its place: the first that was ever claimed for it."""
    values = {"last_updated_timestamp": _now()}
    table = setting("OBJECT_METADATA_TABLE")
    record = dynamo.update(table, {"id": url}, values, first={"result": result}) or {}
    return record["result"]


def note(url: str, status: str, **facts: Any) -> None:
    """Where an object stands."""
    dynamo.update(
        setting("OBJECT_METADATA_TABLE"),
        {"id": url},
        {"status": status, "last_updated_timestamp": _now(), **facts},
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)
