"""Stage B's heavy transformation: the batch's files to one file under post-stage/.

Invoked asynchronously: how it goes is in the execution's record, where check-job looks.
"""

from functools import partial
from typing import Any

from datalake_library import octagon, transforms
from datalake_library.configuration import datasets
from datalake_library.errors import DataError
from datalake_library.interfaces import s3

REASON = 300  # characters of a reason; many of them have to fit into a state's 256 KiB


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """``batch``: execution, team, dataset, bucket and keys. Adds ``processed``: bucket and key."""
    execution = batch["execution"]
    octagon.progress(execution, job_status=octagon.RUNNING)
    try:
        key, failed = _process(batch)
    except Exception as error:
        octagon.progress(execution, job_status=octagon.FAILED, job_error=f"{error}")
        raise
    facts = {"job_failed": failed} if failed else {}
    if failed and not key:
        error = DataError(*next(iter(failed.items())))
        octagon.progress(execution, job_status=octagon.FAILED, job_error=f"{error}", **facts)
        raise error
    octagon.progress(execution, job_status=octagon.SUCCEEDED, job_result=key, **facts)
    return {**batch, "processed": {"bucket": batch["bucket"], "key": key}}


def _process(batch: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The key of the result, blank where there is none, and why single objects are not in it.

    An object has its place in one result for ever: where it comes again, as after a redrive or
    with new content, its rows there are replaced. So rows are never there twice.
    """
    team, name, bucket = batch["team"], batch["dataset"], batch["bucket"]
    dataset = datasets.load(team, name)
    transform = transforms.find("stage_b_transforms", dataset.stage_b_transform)
    tables, failed = _read(transform, bucket, batch["keys"])
    own = f"post-stage/{team}/{name}/{batch['execution']}{transform.SUFFIX}"
    results: dict[str, dict[str, Any]] = {}
    for key, table in tables.items():
        place = octagon.claim(s3.Object(bucket, key).url, s3.Object(bucket, own).url)
        results.setdefault(place.removeprefix(f"s3://{bucket}/"), {})[key] = table
    for result, parts in results.items():
        s3.put_into(bucket, result, partial(transform.merged, parts), transform.CONTENT_TYPE)
    return own if own in results else min(results, default=""), failed


def _read(transform: Any, bucket: str, keys: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Tables of those objects that can be read, and what is wrong with the others."""
    tables, failed = {}, {}
    for key, content in s3.read_all(bucket, keys):
        try:
            if content is None:
                raise DataError(key, "is not there any more")
            tables[key] = transform.read(key, content)
        except DataError as error:
            failed[key] = error.reason[:REASON]
    return tables, failed
