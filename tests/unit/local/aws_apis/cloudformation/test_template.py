"""What is refused of a template before anything is made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.template import judge, read, references

QUEUE = {"Type": "AWS::SQS::Queue"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "Template format error: YAML not well-formed. (line 1"),
        ("- a", "YAML not well-formed"),
        ("{}", "At least one Resources member must be defined."),
        ("Resources: {}", "At least one Resources member must be defined."),
        ("Resources: []", "[/Resources] must be an object"),
        ("Resource: {}", "Invalid template property or properties [Resource]"),
    ],
)
def test_text_that_is_no_template(text: str, what: str) -> None:
    with pytest.raises(Refused) as raised:
        read(text)
    assert what in str(raised.value)
    assert raised.value.code == "ValidationError"


@pytest.mark.parametrize(
    ("resources", "what"),
    [
        ({"r_a": QUEUE}, "Resource name r_a is non alphanumeric."),
        ({"rA": "text"}, "[/Resources/rA] resource definition is malformed"),
        ({"rA": {}}, "[/Resources/rA] Every Resources object must contain a Type member."),
        ({"rA": {**QUEUE, "Propertys": {}}}, "Invalid template resource property 'Propertys'"),
        ({"rA": {**QUEUE, "Properties": []}}, "[/Resources/rA] Properties must be an object"),
        ({"rA": {**QUEUE, "DeletionPolicy": "Keep"}}, "Unrecognized DeletionPolicy Keep"),
        ({"rA": {"Type": "AWS::Odd::One"}, "rB": {"Type": "AWS::Odd::Two"}, "rC": QUEUE},
         "Unrecognized resource types: [AWS::Odd::One, AWS::Odd::Two]"),
        ({"rA": {**QUEUE, "Properties": {"QueueName": {"Ref": "pB"}}}},
         "Unresolved resource dependencies [pB] in the Resources block of the template"),
        ({"rA": {**QUEUE, "Properties": {"QueueName": {"Fn::Sub": "${rX}-${rY.Arn}-${!rZ}"}}}},
         "Unresolved resource dependencies [rX, rY] in the Resources block"),
        ({"rA": {**QUEUE, "DependsOn": ["rB"]}}, "Unresolved resource dependencies [rB]"),
        ({"rA": {**QUEUE, "Condition": "Odd"}}, "Unresolved condition dependency Odd"),
        ({"rA": {**QUEUE, "Properties": {"QueueName": {"Fn::If": ["Odd", "a", "b"]}}}},
         "Unresolved condition dependency Odd in the Resources block"),
    ],
)  # fmt: skip
def test_resources_that_are_refused(resources: dict[str, Any], what: str) -> None:
    with pytest.raises(Refused) as raised:
        judge({"Resources": resources}, KINDS)
    assert what in str(raised.value)


def test_outputs_that_are_refused() -> None:
    with pytest.raises(Refused, match=r"dependencies \[rB\] in the Outputs block"):
        judge({"Resources": {"rA": QUEUE}, "Outputs": {"o": {"Value": {"Ref": "rB"}}}}, KINDS)
    with pytest.raises(Refused, match="Output o is malformed"):
        judge({"Resources": {"rA": QUEUE}, "Outputs": {"o": {}}}, KINDS)


def test_a_policys_condition_is_no_condition_of_the_template() -> None:
    policy = {"Statement": [{"Condition": {"StringEquals": {"a": "b"}}, "Resource": "*"}]}
    given = {"Queues": [{"Ref": "rA"}], "PolicyDocument": policy}
    judge(
        {"Resources": {"rA": QUEUE, "rB": {"Type": "AWS::SQS::QueuePolicy", "Properties": given}}},
        KINDS,
    )


def test_references_of_every_form() -> None:
    node = {
        "Type": "t",
        "DependsOn": "rD",
        "Properties": {
            "a": {"Ref": "rA"},
            "b": {"Fn::GetAtt": ["rB", "Arn"]},
            "c": {"Fn::GetAtt": "rC.Arn"},
            "e": {"Fn::Sub": ["${rE.Arn}${own}", {"own": {"Ref": "rF"}}]},
            "g": [{"Fn::Join": ["", [{"Ref": "rG"}]]}],
            "DependsOn": "no reference, but a property of this name",
        },
    }
    assert set(references(node)) == {f"r{letter}" for letter in "ABCDEFG"}


def test_the_text_is_kept_as_it_was() -> None:
    text = json.dumps({"Resources": {"rA": QUEUE}}, indent=3) + "\n\n"
    assert read(text).text == text
