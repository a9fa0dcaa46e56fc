"""Starts an execution of stage A's state machine for each message of its queue."""

import json
from typing import Any

from datalake_library import octagon
from datalake_library.configuration.settings import setting
from datalake_library.interfaces import s3, sqs, states


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return sqs.each(event, _start)


def _start(record: dict[str, Any]) -> None:
    # The message's id: delivered twice, it is one execution; redriven, it is a new message.
    execution = record["messageId"]
    item = {**json.loads(record["body"]), "execution": execution}
    try:
        states.start(setting("STATE_MACHINE"), execution, item)
    except Exception as error:
        url = s3.Object(item["bucket"], item["key"]).url
        octagon.note(url, octagon.FAILED, error=f"{error}")
        raise
