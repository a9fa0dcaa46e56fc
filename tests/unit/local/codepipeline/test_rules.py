from __future__ import annotations

import json
from typing import Any

import pytest

from ci.errors import PipelineError
from ci.local.codepipeline import rules

EVENT: dict[str, Any] = {
    "source": "aws.ecr",
    "detail-type": "ECR Image Action",
    "resources": ["arn:one", "arn:two"],
    "detail": {"image-tag": "latest", "repository-name": "dev-layer", "size": 12, "said": 'a "b"'},
}


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"source": ["aws.ecr"]}, True),
        ({"source": ["aws.s3", "aws.ecr"], "detail": {"image-tag": ["latest"]}}, True),
        ({"source": ["aws.ecr"], "detail": {"image-tag": ["build-1"]}}, False),
        ({"resources": ["arn:two"]}, True),
        ({"resources": ["arn:three"]}, False),
        ({"detail": {"repository-name": [{"prefix": "dev-"}]}}, True),
        ({"detail": {"repository-name": [{"prefix": "prod-"}]}}, False),
        ({"detail": {"image-tag": [{"anything-but": ["latest"]}]}}, False),
        ({"detail": {"image-tag": [{"anything-but": ["build-1"]}]}}, True),
        ({"detail": {"image-digest": [{"exists": False}]}}, True),
        ({"detail": {"image-tag": [{"exists": False}]}}, False),
        ({"detail": {"size": [{"numeric": [">", 10, "<=", 12]}]}}, True),
        ({"detail": {"size": [{"numeric": [">", 12]}]}}, False),
        ({"detail": {"nothing": ["x"]}}, False),
    ],
)
def test_patterns_match_as_eventbridge_has_it(pattern: dict[str, Any], matches: bool) -> None:
    rule = rules.read({"EventPattern": pattern}, "rRule")
    assert rule is not None
    assert rule.matches(EVENT) == matches


@pytest.mark.parametrize(
    "properties",
    [
        {"ScheduleExpression": "rate(1 day)"},
        {"EventPattern": {"source": ["x"]}, "State": "DISABLED"},
    ],
)
def test_rules_without_events_are_none(properties: dict[str, Any]) -> None:
    assert rules.read(properties, "rRule") is None


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ({"source": "aws.ecr"}, "has source in its EventPattern, which is no list"),
        ({"detail": {"a": []}}, "has detail.a in its EventPattern, which is no list"),
        ("{", "has an EventPattern that is no JSON"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: Any, what: str) -> None:
    with pytest.raises(PipelineError, match="rule rRule") as error:
        rules.read({"EventPattern": pattern}, "rRule")
    assert what in error.value.what


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"tag": "<tag>", "size": <size>}', {"tag": "latest", "size": 12}),
        ('{"tag": <tag>}', {"tag": "latest"}),
        ('"Pushed <tag> of <size>"', "Pushed latest of 12"),
        ('{"a": "x \\" <said>"}', {"a": 'x " a "b"'}),
        ('{"all": <all>}', {"all": EVENT["detail"]}),
    ],
)
def test_inputs_are_made_of_the_event(template: str, expected: Any) -> None:
    names = {"tag": "image-tag", "size": "size", "said": "said"}
    paths = {name: f"$.detail.{place}" for name, place in names.items()} | {"all": "$.detail"}
    target = {
        "Id": "t", "Arn": "arn:x", "RoleArn": "arn:role",
        "InputTransformer": {"InputPathsMap": paths, "InputTemplate": template},
    }  # fmt: skip
    rule = rules.Rule("r", {}, [target])
    [sent] = rule.sent(EVENT)
    assert sent.input is not None
    assert json.loads(sent.input) == expected
    assert (sent.arn, sent.role) == ("arn:x", "arn:role")


def test_a_target_may_get_the_event_a_part_of_it_or_a_text() -> None:
    targets = [{"Arn": "a"}, {"Arn": "b", "InputPath": "$.detail.size"}, {"Arn": "c", "Input": "x"}]
    rule = rules.Rule("r", {}, targets)
    assert [each.input for each in rule.sent(EVENT)] == [None, "12", "x"]


@pytest.mark.parametrize(
    ("transformer", "what"),
    [
        ({"InputTemplate": "<none>"}, "has <none> in its InputTemplate, and no such name"),
        ({"InputPathsMap": {"a": "$.detail.none"}, "InputTemplate": "x"},
         "takes $.detail.none from an event that does not have it"),
        ({"InputPathsMap": {"a": "detail"}, "InputTemplate": "x"}, "has the path detail"),
    ],
)  # fmt: skip
def test_a_bad_transformer_is_told(transformer: dict[str, Any], what: str) -> None:
    rule = rules.Rule("r", {}, [{"Id": "t", "InputTransformer": transformer}])
    with pytest.raises(PipelineError, match="rule r, target t") as error:
        list(rule.sent(EVENT))
    assert what in error.value.what
