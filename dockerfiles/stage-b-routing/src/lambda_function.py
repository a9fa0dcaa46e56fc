"""Gathers what waits for stage B and starts an execution of its state machine for it."""

import json
from typing import Any

from datalake_library import items, octagon
from datalake_library.configuration import datasets, queues
from datalake_library.configuration.settings import setting
from datalake_library.interfaces import sqs, states


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``event``: ``team`` and ``dataset``, from the dataset's schedule."""
    team, name = event["team"], event["dataset"]
    dataset = datasets.load(team, name)
    queue = queues.stage_b(team, name)
    messages = sqs.receive(queue, dataset.max_items)
    if len(messages) < max(dataset.min_items, 1):
        sqs.release(queue, messages)
        return {"started": None, "waiting": len(messages)}
    gathered = [json.loads(message.body) for message in messages]
    # The messages' ids: the same messages delivered again are the same execution.
    execution = items.digest(*sorted(message.id for message in messages))
    batch = {
        "execution": execution,
        "team": team,
        "dataset": name,
        "pipeline": dataset.pipeline,
        "bucket": setting("STAGE_BUCKET"),
        "keys": sorted({item["key"] for item in gathered}),
    }
    pipeline = f"{team}-{dataset.pipeline}-post-stage"
    octagon.begin(execution, pipeline, dataset=name, objects=len(batch["keys"]))
    states.start(setting("STATE_MACHINE"), execution, batch)
    sqs.delete(queue, messages)
    return {"started": execution, "waiting": 0}
