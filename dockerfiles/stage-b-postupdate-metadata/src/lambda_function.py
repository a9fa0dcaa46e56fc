"""Records that stage B is done with a batch, or with all but some objects of it."""

from typing import Any

from datalake_library import octagon
from datalake_library.interfaces import s3


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """The error path comes after it for the others: ``job`` names them in ``failed``."""
    bucket, failed = batch["bucket"], batch["job"].get("failed", {})
    for key in batch["keys"]:
        if key not in failed:
            octagon.note(s3.Object(bucket, key).url, octagon.COMPLETED)
    if not failed:
        pipeline = f"{batch['team']}-{batch['pipeline']}-post-stage"
        result = s3.Object(bucket, batch["job"]["result"]).url
        octagon.end(batch["execution"], pipeline, octagon.COMPLETED, result=result)
    return batch
