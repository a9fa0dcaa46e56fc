"""The artifact that is deployed: bad input one by one, and all of it at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit.trees import write

from ci.deploy.artifact import read
from ci.errors import InputError, InputErrors

QUEUE = "Resources: {r: {Type: AWS::SQS::Queue}}\n"


def stack(room: Path, template: str | None, parameters: str | None, name: str = "one") -> None:
    (room / name).mkdir(parents=True)
    if template is not None:
        write(room / name / "packaged-template.yaml", template)
    if parameters is not None:
        write(room / name / "parameters.json", parameters)


def test_a_stack_as_packaging_left_it(tmp_path: Path) -> None:
    policy = {"Statement": []}
    text = json.dumps({"Parameters": {"pA": "1", "pEnvironment": "dev"}, "Tags": {"a": "b"},
                       "StackPolicy": policy})  # fmt: skip
    declared = "Parameters: {pA: {Type: Number}, pEnvironment: {Type: String}}\n"
    stack(tmp_path, declared + QUEUE, text)
    write(tmp_path / "stacks.yaml", "one: common-cloudformation")
    [found] = read(tmp_path, "stg")
    assert found.name == "common-cloudformation"
    assert found.parameters == {"pA": "1", "pEnvironment": "stg"}
    assert (found.tags, json.loads(found.policy or "")) == ({"a": "b"}, policy)
    assert found.document["Resources"].keys() == {"r"}


def test_without_tags_and_policy_the_stack_keeps_its_own(tmp_path: Path) -> None:
    stack(tmp_path, QUEUE, '{"Parameters": {}}')
    [found] = read(tmp_path, "dev")
    assert (found.tags, found.policy) == (None, None)


@pytest.mark.parametrize("exists", [False, True])
def test_no_artifact_names_the_command_that_makes_it(exists: bool, tmp_path: Path) -> None:
    room = tmp_path / "cfn"
    if exists:
        room.mkdir()
    with pytest.raises(InputError, match=r"(?s)main.py app.*bucket"):
        read(room, "dev")


@pytest.mark.parametrize(
    ("template", "parameters", "where", "what"),
    [
        (None, '{"Parameters": {}}', "packaged-template.yaml", "it is not packaged"),
        ("Resources: [", '{"Parameters": {}}', "packaged-template.yaml:1", "is no template"),
        ("- a", '{"Parameters": {}}', "packaged-template.yaml:1", "is no template"),
        (QUEUE, None, "parameters.json", "is not there"),
        (QUEUE, "{", "parameters.json", "is not JSON"),
        (QUEUE, "{}", "parameters.json", "has no Parameters"),
        (QUEUE, '{"Parameters": {"pA": "1"}}', "parameters.json", "does not declare"),
        (f"Parameters: {{pA: {{Type: String}}}}\n{QUEUE}", '{"Parameters": {}}',
         "parameters.json", "lacks pA"),
        (f"Parameters: {{pEcrImageTag: {{Type: String}}}}\n{QUEUE}", '{"Parameters": {}}',
         "parameters.json", "lacks pEcrImageTag"),
        (f"Parameters: {{pA: {{Type: String, AllowedValues: [x]}}}}\n{QUEUE}",
         '{"Parameters": {"pA": "y"}}', "parameters.json", "is none of its AllowedValues"),
        (f"Parameters: {{pEnvironment: {{Type: String, AllowedValues: [x]}}}}\n{QUEUE}",
         '{"Parameters": {}}', "packaged-template.yaml: pEnvironment", "gets the prefix 'dev'"),
        (QUEUE, '{"Parameters": {}, "Tags": []}', "parameters.json", "has Tags, which is no"),
        (QUEUE, '{"Parameters": {}, "StackPolicy": "x"}', "parameters.json", "has StackPolicy"),
    ],
)  # fmt: skip
def test_what_is_no_stack(
    template: str | None, parameters: str | None, where: str, what: str, tmp_path: Path
) -> None:
    stack(tmp_path, template, parameters)
    with pytest.raises(InputErrors) as raised:
        read(tmp_path, "dev")
    [error] = raised.value.errors
    assert error.where == str(tmp_path / "one" / where)
    assert what in error.what
    assert error.fix


def test_all_problems_at_once(tmp_path: Path) -> None:
    stack(tmp_path, None, "{", "one")
    stack(tmp_path, QUEUE, "{}", "two")
    write(tmp_path / "stacks.yaml", "three: x")
    with pytest.raises(InputErrors) as raised:
        read(tmp_path, "dev")
    assert len(raised.value.errors) == 4
