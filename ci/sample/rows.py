"""The rows of a dataset, read from its Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from ci import aws
from ci.errors import PipelineError
from ci.sample.lake import Lake


def read(lake: Lake, dataset: str) -> Iterator[dict[str, Any]]:
    """The rows of a dataset (``TEAM/DATASET``), file by file.

    Raises PipelineError without pyarrow, and for a file that is no Parquet.
    """
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        fix = "pip install pyarrow; on AWS, ask Amazon Athena: the table is in the Glue catalogue"
        raise PipelineError("query", "reads Parquet with pyarrow, which is missing", fix) from error
    s3 = lake.client("s3")
    for key in lake.keys(lake.stage, f"post-stage/{dataset}/"):
        with aws.explained("Amazon S3", "s3:GetObject"):
            content = s3.get_object(Bucket=lake.stage, Key=key)["Body"].read()
        try:
            table = parquet.read_table(io.BytesIO(content))
        except ArrowInvalid as error:
            where = f"s3://{lake.stage}/{key}"
            raise PipelineError(where, f"is no Parquet file: {error}", "remove it") from error
        yield from table.to_pylist()


def text(rows: list[dict[str, Any]], most: int = 20) -> str:
    """A table of the first rows."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return "no rows yet\n"
    table = Table(caption=f"{min(len(rows), most)} of {len(rows)} rows")
    for column in rows[0]:
        table.add_column(column)
    for row in rows[:most]:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    stream = io.StringIO()
    Console(file=stream, width=100).print(table)
    return stream.getvalue()
