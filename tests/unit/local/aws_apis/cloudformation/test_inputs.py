from __future__ import annotations

from typing import Any

import pytest

from ci.local.aws_apis.cloudformation.inputs import Input, values
from ci.local.aws_apis.cloudformation.refusals import Refused


def given(**parameters: str) -> list[dict[str, Any]]:
    return [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]


def nothing(name: str) -> str:
    raise AssertionError(f"nobody asked for {name}")


def test_values_that_are_given_and_defaults() -> None:
    declared = {"pA": {"Type": "String"}, "pB": {"Type": "Number", "Default": 3}}
    found = values(declared, given(pA="x"), None, nothing)
    assert {name: each.meaning for name, each in found.items()} == {"pA": "x", "pB": "3"}


def test_previous_values() -> None:
    declared = {"pA": {"Type": "String"}}
    previous = [{"ParameterKey": "pA", "UsePreviousValue": True}]
    before = {"pA": Input("kept", "String")}
    assert values(declared, previous, before, nothing)["pA"].value == "kept"
    with pytest.raises(Refused, match="Cannot specify usePreviousValue as true"):
        values(declared, previous, None, nothing)


def test_lists() -> None:
    declared = {"pA": {"Type": "CommaDelimitedList"}, "pB": {"Type": "List<Number>"}}
    found = values(declared, given(pA="a, b", pB="1,2"), None, nothing)
    assert found["pA"].meaning == ["a", "b"]
    assert found["pB"].meaning == ["1", "2"]


def test_parameters_of_ssm() -> None:
    declared = {
        "pA": {"Type": "AWS::SSM::Parameter::Value<String>"},
        "pB": {"Type": "AWS::SSM::Parameter::Value<List<String>>"},
    }
    found = values(declared, given(pA="/a", pB="/b"), None, {"/a": "x", "/b": "1,2"}.__getitem__)
    assert found["pA"].meaning == "x"
    assert found["pA"].value == "/a"
    assert found["pB"].meaning == ["1", "2"]


@pytest.mark.parametrize(
    ("declared", "parameters", "what"),
    [
        ({}, {"pA": "x", "pB": "y"}, "Parameters: [pA, pB] do not exist in the template"),
        ({"pA": {}, "pB": {"Default": ""}}, {}, "Parameters: [pA] must have values"),
        ({"pA": {"AllowedValues": ["a", 1]}}, {"pA": "b"}, "'pA' must be one of AllowedValues"),
        ({"pA": {"AllowedPattern": "[a-z]+"}}, {"pA": "B"}, "'pA' must match pattern [a-z]+"),
        ({"pA": {"AllowedPattern": "[a-z]+", "ConstraintDescription": "lower-case"}}, {"pA": "B"},
         "Parameter pA failed to satisfy constraint: lower-case"),
        ({"pA": {"Type": "Number"}}, {"pA": "x"}, "Parameter 'pA' must be a number"),
        ({"pA": {"Type": "Number", "MinValue": 2}}, {"pA": "1"}, "a number not less than 2"),
        ({"pA": {"Type": "Number", "MaxValue": 2}}, {"pA": "3"}, "number not greater than 2"),
        ({"pA": {"Type": "String", "MinLength": 2}}, {"pA": "x"}, "contain at least 2 characters"),
        ({"pA": {"Type": "String", "MaxLength": 2}}, {"pA": "xyz"}, "at most 2 characters"),
        ({"pA": {"Type": "CommaDelimitedList", "AllowedValues": ["a", "b"]}}, {"pA": "a,c"},
         "Parameter 'pA' must be one of AllowedValues"),
    ],
)  # fmt: skip
def test_values_that_are_refused(
    declared: dict[str, Any], parameters: dict[str, str], what: str
) -> None:
    with pytest.raises(Refused) as raised:
        values(declared, given(**parameters), None, nothing)
    assert what in str(raised.value)
