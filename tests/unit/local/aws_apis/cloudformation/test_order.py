from __future__ import annotations

from typing import Any

import pytest

from ci.local.aws_apis.cloudformation.order import wishes
from ci.local.aws_apis.cloudformation.refusals import Refused


def resource(*needs: str, condition: str = "", **properties: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": "t", "Properties": properties}
    if needs:
        made["DependsOn"] = list(needs)
    if condition:
        made["Condition"] = condition
    return made


def names(resources: dict[str, Any], **conditions: bool) -> list[str]:
    return [each.logical_id for each in wishes({"Resources": resources}, conditions)]


def test_each_comes_after_what_it_needs_else_in_the_templates_order() -> None:
    resources = {
        "rC": resource("rB"),
        "rA": resource(),
        "rB": resource(x={"Ref": "rA"}),
        "rZ": resource(),
    }
    assert names(resources) == ["rA", "rZ", "rB", "rC"]


def test_a_resource_whose_condition_is_false_is_neither_made_nor_waited_for() -> None:
    resources = {"rA": resource("rB"), "rB": resource(condition="No")}
    assert names(resources, No=False) == ["rA"]
    assert names(resources, No=True) == ["rB", "rA"]


def test_a_branch_that_is_not_taken_needs_nothing() -> None:
    choice = {"Fn::If": ["Yes", "text", {"Ref": "rB"}]}
    resources = {"rA": resource(x=choice), "rB": resource(x={"Ref": "rA"})}
    assert names(resources, Yes=True) == ["rA", "rB"]
    with pytest.raises(Refused, match=r"Circular dependency between resources: \[rA, rB\]"):
        names(resources, Yes=False)


def test_a_circle_is_told_without_what_only_hangs_on_it() -> None:
    resources = {"rA": resource("rB"), "rB": resource("rA"), "rC": resource("rA"), "rD": resource()}
    with pytest.raises(Refused, match=r"^Circular dependency between resources: \[rA, rB\]$"):
        names(resources)
