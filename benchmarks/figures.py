"""From seconds to medians, ranges and ratios of medians, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLD, AGAIN, CHANGED = "cold", "nothing changed", "one changed"
SITUATIONS = (COLD, AGAIN, CHANGED)


@dataclass(frozen=True)
class Series:
    """Seconds of the same thing, measured several times. At least one."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio(self, to: Series) -> float:
        """The ratio of the medians."""
        return self.median / to.median

    def __str__(self) -> str:
        if len(self.seconds) == 1:
            return f"{self.median:.2f}"
        return f"{self.median:.2f} ({min(self.seconds):.2f}-{max(self.seconds):.2f})"


Measured = Mapping[str, Mapping[str, Sequence[float]]]
"""Seconds by contender and situation."""


def rows(measured: Measured, references: Mapping[str, str]) -> list[list[str]]:
    """The table, its head first: for each situation the median, its range, and the ratio to the
    median of the contender's reference."""
    head = ["contender", "compared with"]
    for situation in SITUATIONS:
        head += [f"{situation}, s", "ratio"]
    table = [head]
    for name, situations in measured.items():
        reference = references.get(name, "")
        row = [name, reference if reference != name else ""]
        for situation in SITUATIONS:
            own = tuple(situations.get(situation, ()))
            theirs = tuple(measured.get(reference, {}).get(situation, ()))
            row.append(str(Series(own)) if own else "-")
            row.append(f"{Series(own).ratio(Series(theirs)):.2f}" if own and theirs else "-")
        table.append(row)
    return table


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Columns of a terminal."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A table for docs/benchmarks.md."""
    head, *body = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head, "|---" * len(table[0]) + "|", *body])
