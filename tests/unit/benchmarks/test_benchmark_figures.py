"""Medians, ratios and the table."""

from __future__ import annotations

import pytest

from benchmarks import figures
from benchmarks.contenders import Build
from benchmarks.figures import Series

MEASURED = {
    "floor": {"cold": [8.0, 10.0, 9.0], "nothing changed": [1.0], "one changed": [2.0, 2.0]},
    "other": {"cold": [9.9, 9.9, 9.0], "one changed": [3.0, 5.0]},
}
REFERENCES = {"floor": "floor", "other": "floor"}


@pytest.mark.parametrize(
    ("seconds", "median"), [((3.0, 1.0, 2.0), 2.0), ((4.0, 1.0), 2.5), ((7.0,), 7.0)]
)
def test_median(seconds: tuple[float, ...], median: float) -> None:
    assert Series(seconds).median == median


def test_a_ratio_is_of_medians_not_of_means() -> None:
    assert Series((1.0, 1.0, 100.0)).ratio(Series((2.0, 2.0, 2.0))) == 0.5


def test_the_table_compares_each_with_its_reference() -> None:
    _, floor, other = figures.rows(MEASURED, REFERENCES)
    assert floor == [
        *("floor", "", "9.00 (8.00-10.00)", "1.00"),
        *("1.00", "1.00", "2.00 (2.00-2.00)", "1.00"),
    ]
    assert other == [
        *("other", "floor", "9.90 (9.00-9.90)", "1.10", "-", "-", "4.00 (3.00-5.00)", "2.00"),
    ]


def test_without_its_reference_a_contender_has_no_ratio() -> None:
    _, row = figures.rows({"other": MEASURED["other"]}, REFERENCES)
    assert row[2:4] == ["9.90 (9.00-9.90)", "-"]


def test_markdown_has_as_many_columns_in_every_row() -> None:
    lines = figures.as_markdown(figures.rows(MEASURED, REFERENCES)).splitlines()
    assert {line.count("|") for line in lines} == {9}
    assert len(lines) == 4


def test_every_run_has_tags_of_its_own_besides_latest() -> None:
    tags = [Build(number).tags for number in range(1, 400)]
    assert {three[0] for three in tags} == {"latest"}
    assert len({tag for three in tags for tag in three[1:]}) == 2 * len(tags)
    assert {len(three[2]) for three in tags} == {7}
