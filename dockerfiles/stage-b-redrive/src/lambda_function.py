"""Puts what a dataset's stage B failed on back into the dataset's queue."""

from typing import Any

from datalake_library.configuration import queues
from datalake_library.interfaces import sqs


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``event``: ``team`` and ``dataset``."""
    names = event["team"], event["dataset"]
    return {"moved": sqs.move(queues.stage_b_dead_letters(*names), queues.stage_b(*names))}
