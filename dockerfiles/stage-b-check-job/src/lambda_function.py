"""Says how the batch's transformation is going, for the state machine's wait loop."""

from typing import Any

from datalake_library import octagon


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """Adds ``job``: ``status`` (RUNNING, SUCCEEDED or FAILED), and ``result`` or ``error``."""
    record = octagon.execution(batch["execution"]) or {}
    job = {
        "status": record.get("job_status", octagon.RUNNING),
        "result": record.get("job_result"),
        "error": record.get("job_error"),
    }
    return {**batch, "job": {name: value for name, value in job.items() if value}}
