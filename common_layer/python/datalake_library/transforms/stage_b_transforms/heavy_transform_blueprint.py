"""Meteorites: many CSV files to one Parquet file.

Needs pyarrow, which only the image of ``stage-b-process-data`` has; so it is imported where used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from datalake_library.errors import DataError

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
SOURCES = b"sources"  # in the file's own metadata: JSON, pairs of a source and how many rows it has
CONTENT_TYPE = "application/vnd.apache.parquet"
# Column, its name in the CSV, its type in the Glue catalogue.
COLUMNS = (
    ("id", "id", "bigint"),
    ("name", "name", "string"),
    ("cls", "recclass", "string"),
    ("lon", "reclong", "double"),
    ("lat", "reclat", "double"),
)


def read(source: str, content: bytes) -> pyarrow.Table:
    """The rows of a CSV; an empty position is null.

    Raises DataError, naming ``source``, for what is not the CSV of the light transform.
    """
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
                column_types=dict(zip(names, _schema().types, strict=True)), include_columns=names
            ),
        )
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise DataError(source, f"is not the expected CSV: {error}") from error
    return table.rename_columns(_schema().names)


def merged(parts: Mapping[str, pyarrow.Table], into: bytes | None = None) -> bytes:
    """Parquet with the rows of all parts, by source in order.

    Rows of a source that ``into``, an earlier result, has of it already are replaced; all others
    stay. The same parts give the same bytes. Raises DataError for a Parquet file of others.
    """
    import pyarrow
    import pyarrow.parquet

    tables = {**(_parts(into) if into is not None else {}), **parts}
    sources = sorted(tables)
    lengths = [[source, tables[source].num_rows] for source in sources]
    schema = _schema().with_metadata({SOURCES: json.dumps(lengths).encode()})
    whole = pyarrow.concat_tables([schema.empty_table(), *(_bare(tables[s]) for s in sources)])
    result = io.BytesIO()
    pyarrow.parquet.write_table(whole, result)
    return result.getvalue()


def _parts(content: bytes) -> dict[str, pyarrow.Table]:
    """The rows of each source of an earlier result."""
    import pyarrow.parquet

    whole = pyarrow.parquet.read_table(io.BytesIO(content))
    try:
        lengths = json.loads((whole.schema.metadata or {})[SOURCES])
    except KeyError as error:
        raise DataError("the Parquet file", "does not tell whose rows it has") from error
    parts, at = {}, 0
    for source, length in lengths:
        parts[source] = whole.slice(at, length)
        at += length
    return parts


def _bare(table: pyarrow.Table) -> pyarrow.Table:
    return table.replace_schema_metadata(None)


def _schema() -> pyarrow.Schema:
    import pyarrow

    types = {
        "bigint": pyarrow.int64(),
        "string": pyarrow.string(),
        "double": pyarrow.float64(),
    }
    return pyarrow.schema([(column, types[kind]) for column, _, kind in COLUMNS])
