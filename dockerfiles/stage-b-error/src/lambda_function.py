"""Stage B's error path: records with objects and reason, and the items kept for a redrive."""

from typing import Any

from datalake_library import items, octagon
from datalake_library.configuration import queues
from datalake_library.interfaces import s3


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """``batch`` with ``error`` as Catch gives it, or with the ``job`` that check-job saw fail."""
    execution = batch["execution"]
    reason = items.reason(batch["error"]) if "error" in batch else batch["job"]["error"]
    queue = queues.stage_b_dead_letters(batch["team"], batch["dataset"])
    for key in batch["keys"]:
        items.send(queue, {**batch, "key": key}, unique=execution)
        url = s3.Object(batch["bucket"], key).url
        octagon.note(url, octagon.FAILED, error=reason, execution=execution)
    pipeline = f"{batch['team']}-{batch['pipeline']}-post-stage"
    octagon.end(execution, pipeline, octagon.FAILED, error=reason)
    return batch
