"""Values of expressions: plain data, what is left out, what nobody knows yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ci.cfn_parameters import as_text

NOTHING = object()
"""``AWS::NoValue``: what has this value is left out."""


@dataclass(frozen=True)
class Unknown:
    """A value that only the execution will tell, because of the resources ``sources``."""

    sources: frozenset[str]


def unknowns(value: Any) -> frozenset[str]:
    """The resources that keep a value from being known; none for a known one."""
    if isinstance(value, Unknown):
        return value.sources
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return frozenset[str]().union(*map(unknowns, value))
    return frozenset()


def normal(value: Any) -> Any:
    """A value in which scalars are text: ``30`` and ``"30"`` are the same to CloudFormation."""
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [normal(each) for each in value]
    return as_text(value) if isinstance(value, str | int | float) else value
