"""Stage A's error path: a record with object and reason, and the item kept for a redrive."""

from datalake_library import items, octagon
from datalake_library.configuration.settings import setting
from datalake_library.interfaces import s3
from datalake_library.items import Item


def lambda_handler(item: Item, _context: object) -> Item:
    """``item`` with ``error`` as the state machine's Catch gives it."""
    reason = items.reason(item["error"])
    url = s3.Object(item["bucket"], item["key"]).url
    items.send(setting("DEAD_LETTER_QUEUE_URL"), item, unique=item["execution"])
    octagon.note(url, octagon.FAILED, error=reason, execution=item["execution"])
    pipeline = f"{item['team']}-{item['pipeline']}-pre-stage"
    octagon.end(item["execution"], pipeline, octagon.FAILED, object=url, error=reason)
    return item
