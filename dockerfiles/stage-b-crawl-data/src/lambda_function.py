"""Registers the dataset's table in the Glue catalogue."""

from typing import Any

from datalake_library import transforms
from datalake_library.configuration import datasets
from datalake_library.configuration.settings import setting
from datalake_library.interfaces import glue


def lambda_handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    team, name = batch["team"], batch["dataset"]
    dataset = datasets.load(team, name)
    transform = transforms.find("stage_b_transforms", dataset.stage_b_transform)
    location = f"s3://{batch['bucket']}/post-stage/{team}/{name}/"
    columns = {column: kind for column, _, kind in transform.COLUMNS}
    glue.put_parquet_table(setting("GLUE_DATABASE"), name, location, columns)
    return batch
