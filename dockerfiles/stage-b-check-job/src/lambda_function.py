"""Says how the batch's transformation is going, for the state machine's wait loop.

Lambda tells it, too, of a transformation that crashed, timed out or never began, and so could not
record its own end: it is the destination of failed asynchronous invocations.
"""

from typing import Any

from datalake_library import octagon


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``event``: a batch, or Lambda's record of an invocation that failed.

    Adds ``job`` to the batch: ``status`` (RUNNING, SUCCEEDED or FAILED), ``result`` or ``error``,
    and in ``failed`` the reason of each object that the transformation left out.
    """
    if "requestPayload" in event:
        return _record_failure(event)
    record = octagon.execution(event["execution"]) or {}
    job = {
        "status": record.get("job_status", octagon.RUNNING),
        "result": record.get("job_result"),
        "error": record.get("job_error"),
        "failed": record.get("job_failed"),
    }
    return {**event, "job": {name: value for name, value in job.items() if value}}


def _record_failure(event: dict[str, Any]) -> dict[str, Any]:
    """What the job has recorded itself, says more."""
    batch, answer = event["requestPayload"], event.get("responsePayload") or {}
    condition = event["requestContext"]["condition"]
    error = f"{answer.get('errorType', condition)}: {answer.get('errorMessage', 'it never began')}"
    ended = {"job_status": [octagon.SUCCEEDED, octagon.FAILED]}
    octagon.progress(batch["execution"], ended, job_status=octagon.FAILED, job_error=error)
    return batch
