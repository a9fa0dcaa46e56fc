"""Records that stage A is done with an object, and hands the result to stage B."""

from datalake_library import items, octagon
from datalake_library.configuration import queues
from datalake_library.interfaces import s3
from datalake_library.items import Item


def lambda_handler(item: Item, _context: object) -> Item:
    source = s3.Object(item["bucket"], item["key"]).url
    result = s3.Object(item["processed"]["bucket"], item["processed"]["key"])
    execution = item["execution"]
    queue = queues.stage_b(item["team"], item["dataset"])
    if octagon.start(result.url, execution, source=source, execution=execution):
        items.send(queue, {**item, "bucket": result.bucket, "key": result.key}, unique=execution)
    octagon.note(source, octagon.COMPLETED, result=result.url)
    pipeline = f"{item['team']}-{item['pipeline']}-pre-stage"
    octagon.end(execution, pipeline, octagon.COMPLETED, result=result.url)
    return item
