"""Whether the rows in Parquet say what the uploaded JSON said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def expected(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rows that files of meteorites are to become: an object each, or an array of them."""
    for path in paths:
        document = json.loads(path.read_text(encoding="utf-8"))
        for record in document if isinstance(document, list) else [document]:
            yield {
                "id": int(record["id"]),
                "name": record["name"],
                "cls": record["recclass"],
                "lon": _position(record.get("reclong")),
                "lat": _position(record.get("reclat")),
            }


def differences(rows: Iterable[Row], paths: Iterable[Path]) -> list[str]:
    """What is wrong with the rows of some files, among those of others too; none where all is
    right: each row is there, once, with the values of its JSON."""
    wanted = Counter(_key(row) for row in expected(paths))
    ids = {dict(key)["id"] for key in wanted}
    found = Counter(_key(row) for row in rows if row.get("id") in ids)
    return [
        *(f"{n} times missing: {dict(key)}" for key, n in (wanted - found).items()),
        *(f"{n} times too often: {dict(key)}" for key, n in (found - wanted).items()),
    ]


def _key(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple(row.items())


def _position(value: Any) -> float | None:
    return None if value in (None, "") else float(value)
