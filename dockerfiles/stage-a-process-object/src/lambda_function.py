"""Stage A's light transformation: central bucket to pre-stage/ of the stage bucket."""

from datalake_library import items, transforms
from datalake_library.configuration import datasets
from datalake_library.configuration.settings import setting
from datalake_library.interfaces import s3
from datalake_library.items import Item


def lambda_handler(item: Item, _context: object) -> Item:
    """Adds ``processed``: bucket and key of the result. The same object gives the same result."""
    dataset = datasets.load(item["team"], item["dataset"])
    transform = transforms.find("stage_a_transforms", dataset.stage_a_transform)
    source = s3.Object(item["bucket"], item["key"])
    content = transform.transform(s3.read(source.bucket, source.key), source.url)
    bucket = setting("STAGE_BUCKET")
    key = f"pre-stage/{_stem(source.key)}{transform.SUFFIX}"
    s3.write(bucket, key, content, transform.CONTENT_TYPE)
    return {**item, "processed": {"bucket": bucket, "key": key}}


def _stem(key: str) -> str:
    """The key without .json, or with a mark for another ending: no two keys collide."""
    if key.endswith(".json"):
        return key.removesuffix(".json")
    return f"{key}-{items.digest(key)[:8]}"
