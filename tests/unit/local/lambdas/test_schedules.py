import json

import pytest

from ci.local.lambdas.schedules import Target, payload

ARN = "arn:aws:events:us-east-1:123456789012:rule/my-rule"
EVENT = {
    "time": "2026-01-31T12:30:00Z",
    "resources": [ARN],
    "detail": {"a": 1, "name": 'say "x"', "list": [{"b": 2}]},
}


def given(**inputs):
    return payload(Target("f", **inputs), EVENT, ARN)


def test_a_target_gets_the_event_unless_it_says_otherwise():
    assert json.loads(given()) == EVENT
    assert given(input='{"team": "x"}') == '{"team": "x"}'


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.detail.a", 1),
        ("$.detail.list[0].b", 2),
        ("$.detail", EVENT["detail"]),
        ("$", EVENT),
        ("$.nothing.there", None),
    ],
)
def test_a_part_of_the_event(path, expected):
    assert json.loads(given(input_path=path)) == expected


def transformed(template, **paths):
    return given(transformer=json.dumps({"InputPathsMap": paths, "InputTemplate": template}))


def test_a_template_is_filled_with_json_outside_of_text_and_with_text_within():
    found = transformed(
        '{"n": <n>, "said": "<name> at <aws.events.rule-name>", "all": <detail>, "no": <x>}',
        n="$.detail.a", name="$.detail.name", detail="$.detail", x="$.x",
    )  # fmt: skip
    assert json.loads(found) == {
        "n": 1,
        "said": 'say "x" at my-rule',
        "all": EVENT["detail"],
        "no": None,
    }


def test_a_template_knows_the_rule_and_the_event():
    found = transformed('{"r": <aws.events.rule-arn>, "e": <aws.events.event.json>}')
    assert json.loads(found) == {"r": ARN, "e": EVENT}
