"""Stage B's heavy transformation: the batch's files to one file under post-stage/.

Invoked asynchronously: how it goes is in the execution's record, where check-job looks.
"""

from typing import Any

from datalake_library import octagon, transforms
from datalake_library.configuration import datasets
from datalake_library.interfaces import s3


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """``batch``: execution, team, dataset, bucket and keys. Adds ``processed``: bucket and key."""
    execution = batch["execution"]
    octagon.progress(execution, job_status=octagon.RUNNING)
    try:
        key = _process(batch)
    except Exception as error:
        octagon.progress(execution, job_status=octagon.FAILED, job_error=f"{error}")
        raise
    octagon.progress(execution, job_status=octagon.SUCCEEDED, job_result=key)
    return {**batch, "processed": {"bucket": batch["bucket"], "key": key}}


def _process(batch: dict[str, Any]) -> str:
    team, name, bucket = batch["team"], batch["dataset"], batch["bucket"]
    dataset = datasets.load(team, name)
    transform = transforms.find("stage_b_transforms", dataset.stage_b_transform)
    content = transform.transform(s3.read_all(bucket, batch["keys"]))
    key = f"post-stage/{team}/{name}/{batch['execution']}{transform.SUFFIX}"
    s3.write(bucket, key, content, transform.CONTENT_TYPE)
    return key
