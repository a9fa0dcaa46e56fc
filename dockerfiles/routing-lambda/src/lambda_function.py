"""Sends every object that arrives in the central bucket to its team's stage A."""

from typing import Any

from datalake_library import items, octagon
from datalake_library.configuration import datasets, queues
from datalake_library.interfaces import s3, sqs


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``event``: S3's notification or EventBridge's, perhaps as messages of an SQS queue."""
    if any("body" in record for record in event.get("Records", [])):
        return sqs.each(event, lambda record: _route_all({"Records": [record]}))
    return {"routed": _route_all(event)}


def _route_all(event: dict[str, Any]) -> int:
    created = s3.created(event)
    for item in created:
        try:
            _route(item)
        except Exception as error:
            # Without a version: the next attempt begins anew.
            octagon.note(item.url, octagon.FAILED, error=f"{error}", version="")
            raise
    return len(created)


def _route(item: s3.Object) -> None:
    team, name = datasets.of_key(item.key)
    dataset = datasets.load(team, name)
    message = {
        "bucket": item.bucket,
        "key": item.key,
        "team": team,
        "dataset": name,
        "pipeline": dataset.pipeline,
    }
    queue = queues.stage_a(team, dataset.pipeline)
    if octagon.start(item.url, item.version, dataset=f"{team}-{name}"):
        items.send(queue, message, unique=item.version)
