"""What a template's parameters allow.

Source: AWS CloudFormation User Guide, "Parameters section syntax reference".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

_LISTS = ("CommaDelimitedList", "List<Number>")


def as_text(value: object) -> str:
    """A scalar of a template as CloudFormation reads it: every parameter is text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def broken(value: str, about: Mapping[str, Any]) -> str:
    """Which property of a parameter's declaration forbids a value; blank where none does.

    ``Type`` stands for what is no number.
    """
    kind = str(about.get("Type", "String"))
    items = value.split(",") if kind in _LISTS else [value]
    if "AllowedValues" in about:
        allowed = [as_text(each) for each in about["AllowedValues"] or ()]
        if any(item.strip() not in allowed for item in items):
            return "AllowedValues"
    if kind in ("Number", "List<Number>"):
        try:
            numbers = [float(item) for item in items]
        except ValueError:
            return "Type"
        if name := _outside(about, "MinValue", "MaxValue", numbers):
            return name
    if kind == "String" and (name := _outside(about, "MinLength", "MaxLength", [len(value)])):
        return name
    if pattern := about.get("AllowedPattern"):
        # Java's regular expressions: one that Python does not read is left to CloudFormation.
        with contextlib.suppress(re.error):
            if not re.fullmatch(str(pattern), value):
                return "AllowedPattern"
    return ""


def _outside(about: Mapping[str, Any], least: str, most: str, numbers: list[Any]) -> str:
    with contextlib.suppress(ValueError):  # a bound that is no number is the template's fault
        if least in about and any(number < float(about[least]) for number in numbers):
            return least
        if most in about and any(number > float(about[most]) for number in numbers):
            return most
    return ""
