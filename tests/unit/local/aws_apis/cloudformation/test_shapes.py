"""Properties in the types of the services' own API models."""

from __future__ import annotations

from typing import Any

import pytest

from ci import aws
from ci.local.aws_apis.cloudformation.resources.shapes import Misfit, shaped


@pytest.fixture(scope="module")
def functions() -> Any:
    return aws.client("lambda", "us-east-1", "http://localhost:9", aws.Credentials("k", "s"))


def test_scalars_get_the_types_of_the_api(functions: Any) -> None:
    given = {
        "FunctionName": 3,
        "Timeout": "30",
        "Publish": "true",
        "Environment": {"Variables": {"A": 1, "B": True}},
        "Layers": ["x", 2],
    }
    assert shaped(functions, "create_function", given) == {
        "FunctionName": "3",
        "Timeout": 30,
        "Publish": True,
        "Environment": {"Variables": {"A": "1", "B": "true"}},
        "Layers": ["x", "2"],
    }


def test_names_get_the_spelling_of_the_api(functions: Any) -> None:
    assert shaped(functions, "create_function", {"KmsKeyArn": "k"}) == {"KMSKeyArn": "k"}


def test_a_document_becomes_json_where_the_api_wants_text(functions: Any) -> None:
    assert shaped(functions, "create_function", {"Role": {"a": 1}}) == {"Role": '{"a": 1}'}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"Odd": 1}, "Encountered unsupported property Odd"),
        ({"Environment": {"Odd": 1}}, "Encountered unsupported property Environment.Odd"),
        ({"Timeout": "long"}, "Value of property Timeout must be of type Number"),
        ({"Publish": "perhaps"}, "Value of property Publish must be of type Boolean"),
        ({"Layers": "one"}, "Value of property Layers must be of type List"),
        ({"Environment": "one"}, "Value of property Environment must be an object"),
        ({"Environment": {"Variables": ["A"]}}, "Environment.Variables must be an object"),
    ],
)
def test_what_the_api_has_no_place_for(functions: Any, given: dict[str, Any], what: str) -> None:
    with pytest.raises(Misfit) as raised:
        shaped(functions, "create_function", given)
    assert what in str(raised.value)
