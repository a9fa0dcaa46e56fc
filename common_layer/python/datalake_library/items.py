"""What the functions hand to one another: an object on its way through the pipeline, as a dict.

``bucket``, ``key``, ``team``, ``dataset`` and ``pipeline`` are always there; an execution adds
``execution``, its id, and each step what it found out.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from datalake_library.interfaces import sqs

CORE = ("bucket", "key", "team", "dataset", "pipeline")

Item = dict[str, Any]


def send(url: str, item: Item, unique: str) -> None:
    """Put an item into a queue, in order with others of its key and with no others.

    In a FIFO queue one bad item then holds up nobody else.
    """
    body = json.dumps({name: item[name] for name in CORE})
    group = digest(item["bucket"], item["key"])
    sqs.send(url, body, group=group, unique=digest(group, unique))


def digest(*words: str) -> str:
    """A name made of the given words, short and legal wherever AWS wants an id."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:40]


def reason(error: dict[str, str]) -> str:
    """What went wrong, from what a state machine's Catch gives: for Lambda, JSON in ``Cause``."""
    try:
        return f"{error['Error']}: {json.loads(error['Cause'])['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.get('Error', 'Unknown')}: {error.get('Cause', '')}"
