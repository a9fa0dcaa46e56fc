"""Meteorites: one JSON object (or an array of them) to CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from typing import Any

from datalake_library.errors import DataError

SUFFIX = ".csv"
CONTENT_TYPE = "text/csv; charset=utf-8"
COLUMNS = ("id", "name", "recclass", "reclong", "reclat")
OPTIONAL = ("reclong", "reclat")  # where a meteorite was found is not always known


def _is_int64(value: str) -> bool:
    return bool(re.fullmatch(r"-?[0-9]{1,19}", value)) and -(2**63) <= int(value) < 2**63


def _is_number(value: str) -> bool:
    number = r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?"
    return bool(re.fullmatch(number, value)) and math.isfinite(float(value))


KINDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "id": ("integer of 64 bits", _is_int64),
    "name": ("text", str),
    "recclass": ("text", str),
    "reclong": ("number", _is_number),
    "reclat": ("number", _is_number),
}


def transform(content: bytes, source: str) -> bytes:
    """CSV with a header (RFC 4180), values as the JSON spells them, unknown positions empty.

    Raises DataError, naming ``source``, for what is no JSON, and for a record whose id, name or
    class is missing or whose numbers are none.
    """
    try:
        # As text: a float would not always come out as it went in.
        data = json.loads(content, parse_float=str, parse_int=str)
        records = data if isinstance(data, list) else [data]
        rows = [[_cell(record, column, source) for column in COLUMNS] for record in records]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *rows])
        return text.getvalue().encode()
    except RecursionError as error:
        raise DataError(source, "is nested too deeply") from error
    except ValueError as error:
        raise DataError(source, f"is not valid JSON in UTF-8: {error}") from error


def _cell(record: Any, column: str, source: str) -> str:
    if not isinstance(record, dict):
        raise DataError(source, f"holds {type(record).__name__} where an object is expected")
    value = record.get(column)
    if value is None or value == "":
        if column in OPTIONAL:
            return ""
        raise DataError(source, f"lacks {column}")
    kind, valid = KINDS[column]
    if not isinstance(value, str) or not valid(value):
        raise DataError(source, f"has {column} {str(value)[:80]!r}, which is no {kind}")
    return value
