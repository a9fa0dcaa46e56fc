"""What expressions give, and what CloudFormation says of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from ci.local.aws_apis.cloudformation.evaluate import Scope, conditions
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.values import Unknown, normal, unknowns


class Outside:
    """Another stack's export, and one parameter in SSM."""

    def export(self, name: str) -> str:
        if name != "shared":
            raise Refused(f"No export named {name} found.")
        return "exported"

    def dynamic(self, service: str, key: str) -> str:
        return f"<{service} {key}>"

    def zones(self, region: str) -> list[str]:
        return [f"{region}a", f"{region}b"]


class Made:
    """A resource that is there, and one that is still to come."""

    def ref(self, name: str) -> Any:
        return Unknown(frozenset({name})) if name == "rComing" else f"id-of-{name}"

    def attribute(self, name: str, attribute: str) -> Any:
        return Unknown(frozenset({name})) if name == "rComing" else f"{name}.{attribute}"


DOCUMENT = {
    "Mappings": {"mRegions": {"us-east-1": {"Ami": "ami-1", "Zones": ["a", "b"]}}},
    "Conditions": {
        "Big": {"Fn::Equals": [{"Ref": "pSize"}, "big"]},
        "Small": {"Fn::Not": [{"Condition": "Big"}]},
        "Both": {"Fn::And": [{"Condition": "Big"}, {"Condition": "Small"}]},
        "Either": {"Fn::Or": [{"Condition": "Big"}, {"Condition": "Small"}]},
        "InRegion": {"Fn::Equals": [{"Fn::FindInMap": ["mRegions", "us-east-1", "Ami"]}, "ami-1"]},
    },
}
VALUES = {"pSize": "big", "pList": ["x", "y"], "AWS::Region": "us-east-1", "AWS::StackName": "s"}


def scope() -> Scope:
    decided = conditions(DOCUMENT, VALUES, Outside())
    return Scope(DOCUMENT, VALUES, Outside(), Made(), decided)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "pSize"}, "big"),
        ({"Ref": "pList"}, ["x", "y"]),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "rThere"}, "id-of-rThere"),
        ({"Fn::GetAtt": ["rThere", "Arn"]}, "rThere.Arn"),
        ({"Fn::GetAtt": "rThere.Arn"}, "rThere.Arn"),
        ({"Fn::GetAtt": ["rThere", "Outputs.oName"]}, "rThere.Outputs.oName"),
        ({"Fn::GetAtt": ["rThere", "Outputs", "oName"]}, "rThere.Outputs.oName"),
        ({"Fn::GetAtt": ["rThere", {"Ref": "pSize"}]}, "rThere.big"),
        ({"Fn::Sub": "${pSize}-${rThere}-${rThere.Arn}"}, "big-id-of-rThere-rThere.Arn"),
        ({"Fn::Sub": "${!pSize} ${ pSize }"}, "${pSize} big"),
        ({"Fn::Sub": ["${a}/${pSize}", {"a": {"Fn::ImportValue": "shared"}}]}, "exported/big"),
        ({"Fn::Join": ["-", ["a", {"Ref": "pSize"}, 3, True]]}, "a-big-3-true"),
        ({"Fn::Join": [",", {"Ref": "pList"}]}, "x,y"),
        ({"Fn::Select": ["1", {"Ref": "pList"}]}, "y"),
        ({"Fn::Select": [0, {"Fn::Split": [".", "one.two"]}]}, "one"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::If": ["Big", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::If": ["Either", "yes", "no"]}, "yes"),
        ({"Fn::If": ["InRegion", "yes", "no"]}, "yes"),
        ({"Fn::FindInMap": ["mRegions", {"Ref": "AWS::Region"}, "Ami"]}, "ami-1"),
        ({"Fn::FindInMap": ["mRegions", "us-east-1", "Zones"]}, ["a", "b"]),
        ({"Fn::FindInMap": ["mRegions", "x", "Ami", {"DefaultValue": "none"}]}, "none"),
        ({"Fn::ImportValue": {"Fn::Join": ["", ["sha", "red"]]}}, "exported"),
        ({"Fn::GetAZs": ""}, ["us-east-1a", "us-east-1b"]),
        ({"Fn::GetAZs": "eu-west-1"}, ["eu-west-1a", "eu-west-1b"]),
        ({"Fn::Base64": "text"}, "dGV4dA=="),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"Fn::Length": {"Ref": "pList"}}, 2),
        ({"Fn::ToJsonString": {"a": [{"Ref": "pSize"}]}}, '{"a":["big"]}'),
        ("{{resolve:ssm:/a/b:3}}", "<ssm /a/b:3>"),
        ("x {{resolve:secretsmanager:db:SecretString:user}} y",
         "x <secretsmanager db:SecretString:user> y"),
        ({"Fn::Sub": "{{resolve:ssm:/${pSize}}}"}, "<ssm /big>"),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
        ({"a": {"Fn::If": ["Big", {"Ref": "AWS::NoValue"}, 1]}}, {}),
        # What only looks like a function.
        ({"Ref": "pSize", "Other": 1}, {"Ref": "pSize", "Other": 1}),
        ({"Condition": {"StringEquals": {"k": "v"}}}, {"Condition": {"StringEquals": {"k": "v"}}}),
    ],
)  # fmt: skip
def test_what_expressions_give(expression: Any, value: Any) -> None:
    assert scope().value(expression) == value


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ({"Fn::Unheard": 1}, "Unrecognized intrinsic function: Fn::Unheard"),
        ({"Fn::GetAtt": "rThere"}, "every Fn::GetAtt object requires two non-empty parameters"),
        (
            {"Fn::Sub": 3},
            "Fn::Sub intrinsic functions don't specify expected arguments",
        ),
        (
            {"Fn::Sub": "${pList}"},
            "variable pList in Fn::Sub expression does not resolve",
        ),
        ({"Fn::Join": ["a"]}, "every Fn::Join object requires two parameters"),
        ({"Fn::Select": [5, ["a"]]}, "Fn::Select cannot select nonexistent value at index 5"),
        ({"Fn::Select": ["x", ["a"]]}, "Fn::Select requires a list argument with two elements"),
        ({"Fn::Split": "a"}, "every Fn::Split object requires two parameters"),
        ({"Fn::If": ["Big", 1]}, "Fn::If requires a list argument with three elements"),
        ({"Fn::If": ["Unheard", 1, 2]}, "Unresolved condition dependency Unheard"),
        ({"Fn::FindInMap": ["mRegions", "x", "Ami"]}, "Unable to get mapping for mRegions::x::Ami"),
        ({"Fn::FindInMap": ["mRegions"]}, "Fn::FindInMap requires"),
        ({"Fn::ImportValue": "nobody"}, "No export named nobody found."),
        ({"Fn::ImportValue": {"Ref": "rComing"}}, "cannot depend on a resource"),
        ({"Fn::Length": "abc"}, "Fn::Length requires a list"),
    ],
)
def test_wrong_expressions_are_refused(expression: Any, what: str) -> None:
    with pytest.raises(Refused) as raised:
        scope().value(expression)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    "expression",
    [
        {"Ref": "rComing"},
        {"Fn::GetAtt": ["rComing", "Arn"]},
        {"Fn::Sub": "a-${rComing}"},
        {"Fn::Join": ["", ["a", {"Ref": "rComing"}]]},
        {"Fn::Select": [0, [{"Ref": "rComing"}]]},
        {"Fn::Split": [",", {"Ref": "rComing"}]},
        {"Fn::Base64": {"Ref": "rComing"}},
        {"Fn::ToJsonString": {"a": {"Ref": "rComing"}}},
        {"deep": [{"inside": {"Ref": "rComing"}}]},
    ],
)
def test_what_hangs_on_a_resource_to_come_is_unknown(expression: Any) -> None:
    assert unknowns(scope().value(expression)) == {"rComing"}


def test_conditions_cannot_go_in_circles_or_name_resources() -> None:
    circle = {"Conditions": {"A": {"Fn::Not": [{"Condition": "B"}]},
                             "B": {"Fn::Not": [{"Condition": "A"}]}}}  # fmt: skip
    with pytest.raises(Refused, match=r"Circular dependency between conditions: \[A, B\]"):
        conditions(circle, {}, Outside())
    named = {"Conditions": {"A": {"Fn::Equals": [{"Ref": "rThere"}, "x"]}}}
    with pytest.raises(Refused, match="rThere is no parameter"):
        conditions(named, {}, Outside())
    with pytest.raises(Refused, match="none of CloudFormation's condition functions"):
        conditions({"Conditions": {"A": "true"}}, {}, Outside())


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"Fn::Contains": [["a", "b"], {"Ref": "pSize"}]}, False),
        ({"Fn::Contains": [["big"], {"Ref": "pSize"}]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "pList"}, ["x", "y", "z"]]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "pList"}, ["x"]]}, False),
        ({"Fn::Equals": ["30", 30]}, True),
    ],
)
def test_functions_of_rules(rule: Any, holds: bool) -> None:
    assert scope().holds(rule) is holds


def test_scalars_are_compared_as_text() -> None:
    assert normal({"a": [30, True]}) == normal({"a": ["30", "true"]})
    assert normal({"a": 30}) != normal({"a": 31})
