"""Stage B's error path: records with objects and reason, and the items kept for a redrive."""

from typing import Any

from datalake_library import items, octagon
from datalake_library.configuration import queues
from datalake_library.interfaces import s3


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """``batch`` with ``error`` as Catch gives it, or with the ``job`` that check-job saw fail,
    as a whole or for single objects."""
    execution = batch["execution"]
    reasons = _reasons(batch)
    queue = queues.stage_b_dead_letters(batch["team"], batch["dataset"])
    for key, reason in reasons.items():
        items.send(queue, {**batch, "key": key}, unique=execution)
        url = s3.Object(batch["bucket"], key).url
        octagon.note(url, octagon.FAILED, error=reason, execution=execution)
    first = next(iter(reasons.values()))
    some = f"{len(reasons)} of {len(batch['keys'])} objects failed, the first one: "
    error = first if len(reasons) == len(batch["keys"]) else f"{some}{first}"
    pipeline = f"{batch['team']}-{batch['pipeline']}-post-stage"
    octagon.end(execution, pipeline, octagon.FAILED, error=error)
    return batch


def _reasons(batch: dict[str, Any]) -> dict[str, str]:
    """Why each object failed."""
    job = batch.get("job", {})
    if "error" in batch:
        return dict.fromkeys(batch["keys"], items.reason(batch["error"]))
    if job.get("failed"):
        return {key: f"{key} {reason}" for key, reason in job["failed"].items()}
    return dict.fromkeys(batch["keys"], job["error"])
