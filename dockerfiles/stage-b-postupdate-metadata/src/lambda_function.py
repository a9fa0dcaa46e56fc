"""Records that stage B is done with a batch."""

from typing import Any

from datalake_library import octagon
from datalake_library.interfaces import s3


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    bucket = batch["bucket"]
    result = s3.Object(bucket, batch["job"]["result"]).url
    for key in batch["keys"]:
        octagon.note(s3.Object(bucket, key).url, octagon.COMPLETED, result=result)
    pipeline = f"{batch['team']}-{batch['pipeline']}-post-stage"
    octagon.end(batch["execution"], pipeline, octagon.COMPLETED, result=result)
    return batch
