"""Records that stage A begins to work on an object."""

from datalake_library import octagon
from datalake_library.interfaces import s3
from datalake_library.items import Item


def lambda_handler(item: Item, _context: object) -> Item:
    url = s3.Object(item["bucket"], item["key"]).url
    pipeline = f"{item['team']}-{item['pipeline']}-pre-stage"
    octagon.begin(item["execution"], pipeline, dataset=item["dataset"], object=url)
    octagon.note(url, octagon.PROCESSING, execution=item["execution"])
    return item
