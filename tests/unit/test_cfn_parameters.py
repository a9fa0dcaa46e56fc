from __future__ import annotations

from typing import Any

import pytest

from ci.cfn_parameters import as_text, broken


@pytest.mark.parametrize(
    ("value", "about", "constraint"),
    [
        ("x", {"Type": "String"}, ""),
        ("b", {"AllowedValues": ["a", "b"]}, ""),
        ("true", {"AllowedValues": [True]}, ""),
        ("c", {"AllowedValues": ["a", "b"]}, "AllowedValues"),
        ("a, b", {"Type": "CommaDelimitedList", "AllowedValues": ["a", "b"]}, ""),
        ("ab", {"AllowedPattern": "a"}, "AllowedPattern"),
        ("ab", {"AllowedPattern": r"\p{Alpha}+"}, ""),  # Java's, which Python cannot read
        ("1.5", {"Type": "Number"}, ""),
        ("one", {"Type": "Number"}, "Type"),
        ("1,x", {"Type": "List<Number>"}, "Type"),
        ("5", {"Type": "Number", "MinValue": 5, "MaxValue": 5}, ""),
        ("4", {"Type": "Number", "MinValue": 5}, "MinValue"),
        ("6", {"Type": "Number", "MaxValue": "5"}, "MaxValue"),
        ("6", {"Type": "Number", "MaxValue": "many"}, ""),
        ("abc", {"Type": "String", "MinLength": 3, "MaxLength": 3}, ""),
        ("ab", {"Type": "String", "MinLength": "3"}, "MinLength"),
        ("abcd", {"Type": "String", "MaxLength": 3}, "MaxLength"),
    ],
)
def test_what_a_declaration_forbids(value: str, about: dict[str, Any], constraint: str) -> None:
    assert broken(value, about) == constraint


def test_truth_is_written_small() -> None:
    assert [as_text(each) for each in (True, 3, "x")] == ["true", "3", "x"]
