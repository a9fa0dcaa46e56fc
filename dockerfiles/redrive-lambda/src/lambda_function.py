"""Puts the messages of the routing function's dead-letter queue back into their queue."""

from typing import Any

from datalake_library.configuration.settings import setting
from datalake_library.interfaces import sqs


def lambda_handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"moved": sqs.move(setting("DEAD_LETTER_QUEUE_URL"), setting("QUEUE_URL"))}
