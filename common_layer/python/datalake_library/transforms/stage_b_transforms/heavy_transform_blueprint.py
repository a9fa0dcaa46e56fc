"""Meteorites: many CSV files to one Parquet file.

Needs pyarrow, which only the image of ``stage-b-process-data`` has; so it is imported where used.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from datalake_library.errors import DataError

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
CONTENT_TYPE = "application/vnd.apache.parquet"
# Column, its name in the CSV, its type in the Glue catalogue.
COLUMNS = (
    ("id", "id", "bigint"),
    ("name", "name", "string"),
    ("cls", "recclass", "string"),
    ("lon", "reclong", "double"),
    ("lat", "reclat", "double"),
)


def transform(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """Parquet with the rows of all parts in order; an empty position is null.

    ``parts`` are pairs of a source's name and its CSV. Raises DataError, naming the source, for
    what is not the CSV of the light transform.
    """
    import pyarrow
    import pyarrow.parquet

    types = {
        "bigint": pyarrow.int64(),
        "string": pyarrow.string(),
        "double": pyarrow.float64(),
    }
    schema = pyarrow.schema([(column, types[kind]) for column, _, kind in COLUMNS])
    tables = [_read(source, content, schema) for source, content in parts]
    whole = pyarrow.concat_tables(tables) if tables else schema.empty_table()
    result = io.BytesIO()
    pyarrow.parquet.write_table(whole, result)
    return result.getvalue()


def _read(source: str, content: bytes, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow
    from pyarrow import csv

    names = [name for _, name, _ in COLUMNS]
    try:
        table = csv.read_csv(
            io.BytesIO(content),
            # One block: a value with line breaks may not lie across two.
            read_options=csv.ReadOptions(block_size=len(content) + 1, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(names, schema.types, strict=True)), include_columns=names
            ),
        )
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise DataError(source, f"is not the expected CSV: {error}") from error
    return table.rename_columns(schema.names)
