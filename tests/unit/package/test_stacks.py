"""Every line of bad input, one by one: where, what, and all of them at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from kit import stacks
from kit.trees import write

from ci.errors import InputErrors
from ci.package.stacks import read

QUEUE = "Resources: {rQueue: {Type: AWS::SQS::Queue}}\n"


def refused(tree: Path) -> list[tuple[str, str]]:
    """Where and what, from the tree."""
    with pytest.raises(InputErrors) as raised:
        read(tree, "dev")
    assert raised.value.exit_code == 2
    assert all(error.fix for error in raised.value.errors)
    return [(e.where.removeprefix(f"{tree}/"), e.what) for e in raised.value.errors]


def test_what_a_stack_is(tmp_path: Path) -> None:
    plain, sam = read(stacks.room(tmp_path), "dev")
    assert (plain.name, sam.name) == ("plain", "sam")
    assert plain.parameters.values == {"pPrefix": "dev"}
    assert [artifact.path.name for artifact in plain.template.artifacts] == [
        "code", "h.py", "machine.asl.json", "job.py", "outputs.yaml",
    ]  # fmt: skip
    [(_, child)] = plain.template.nested
    assert child.path.name == "child.yaml"
    assert [artifact.path.resolve() for artifact in child.artifacts] == [
        (tmp_path / "cfn/plain/code").resolve()
    ]


def test_a_tree_without_stacks(tmp_path: Path) -> None:
    assert read(tmp_path, "dev") == ()


def test_what_is_beside_the_stacks_is_none(tmp_path: Path) -> None:
    tree = stacks.stack(tmp_path, QUEUE)
    write(tree / "cfn/README.md", "")
    write(tree / "cfn/_shared/code.py", "")
    write(tree / "cfn/.aws-sam/x", "")
    assert [stack.name for stack in read(tree, "dev")] == ["one"]


def test_names_of_the_seeds_kind(tmp_path: Path) -> None:
    tree = stacks.stack(stacks.stack(tmp_path, QUEUE), QUEUE, "two")
    write(tree / "cfn/stacks.yaml", "two: common-cloudformation\n")
    assert [stack.name for stack in read(tree, "dev")] == ["one", "common-cloudformation"]


@pytest.mark.parametrize(
    ("names", "where", "what"),
    [
        ("tow: x", "cfn/stacks.yaml", "names 'tow', which is no directory"),
        ("two: one", "cfn/stacks.yaml", "are both called 'one'"),
        ("two: a_b", "cfn/two", "makes the stack name 'a_b'"),
        ("- two", "cfn/stacks.yaml:1", "is no list of names"),
        ("two: [", "cfn/stacks.yaml:1", "is no list of names"),
    ],
)
def test_names_that_are_none(names: str, where: str, what: str, tmp_path: Path) -> None:
    tree = stacks.stack(stacks.stack(tmp_path, QUEUE), QUEUE, "two")
    write(tree / "cfn/stacks.yaml", names)
    [(found, said)] = refused(tree)
    assert found == where
    assert what in said


@pytest.mark.parametrize(
    ("template", "where", "what"),
    [
        (None, "", "is not there"),
        ("Resources: [", ":1", "is no template"),
        ("- a", ":1", "is no template: is no mapping"),
        ("a: 1", "", "has no Resources"),
        ("Resources: {}", "", "has no Resources"),
        ("Resources: []", "", "has no Resources"),
        (f"{QUEUE}{QUEUE}", ":2", "found the key 'Resources' twice"),
        ("Resources: {r: {Type: AWS::Lambda::Function, Properties: {Code: ./src}}}",
         ": Resources.r.Properties.Code", "refers to './src', which is not there"),
        ("Resources: {r: {Type: AWS::Lambda::Function, Properties: {Code: ./empty}}}",
         ": Resources.r.Properties.Code", "refers to './empty', which has no file in it"),
        ("Resources: {r: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: no.yaml}}}",
         ": Resources.r.Properties.TemplateURL", "refers to 'no.yaml', which is not there"),
        ("Resources: {r: {Type: AWS::CloudFormation::Stack,"
         " Properties: {TemplateURL: template.yaml}}}",
         ": Resources.r.Properties.TemplateURL", "which this template is nested in"),
        (f"{QUEUE}Outputs: {{Fn::Transform: {{Name: AWS::Include,"
         " Parameters: {Location: no.yaml}}}",
         ": Outputs.Fn::Transform.Parameters.Location", "refers to 'no.yaml'"),
        (f"Parameters: {{pName: {{Type: String}}}}\n{QUEUE}", "", "lacks pName"),
    ],
)  # fmt: skip
def test_templates_that_are_none(
    template: str | None, where: str, what: str, tmp_path: Path
) -> None:
    tree = stacks.stack(tmp_path, template or "")
    (tree / "cfn/one/empty/__pycache__").mkdir(parents=True)
    if template is None:
        (tree / "cfn/one/template.yaml").unlink()
    [(found, said)] = refused(tree)
    file = "parameters.json" if "lacks" in what else "template.yaml"
    assert found == f"cfn/one/{file}{where}"
    assert what in said


def test_a_template_that_is_not_utf8(tmp_path: Path) -> None:
    tree = stacks.stack(tmp_path, QUEUE)
    (tree / "cfn/one/template.yaml").write_bytes(b"Resources: \xff")
    assert refused(tree) == [("cfn/one/template.yaml", "is not UTF-8 (byte 11)")]


def test_what_is_wrong_in_a_nested_template_is_found(tmp_path: Path) -> None:
    tree = stacks.room(tmp_path)
    child = stacks.CHILD.replace("../code", "../nowhere").replace("pPrefix: {", "pOther: {")
    write(tree / "cfn/plain/nested/child.yaml", child)
    nested = "cfn/plain/template.yaml: Resources.rChild.Properties.Parameters"
    problems = refused(tree)
    assert len(problems) == 3
    assert problems[0][0].endswith("child.yaml: Resources.rCode.Properties.Code")
    assert problems[1] == (nested, "has pPrefix, which the template does not declare")
    assert problems[2] == (nested, "lacks pOther, which the template requires")


def test_a_nested_stack_needs_the_tag_passed_on(tmp_path: Path) -> None:
    tree = stacks.room(tmp_path)
    template = stacks.PLAIN.replace(", pEcrImageTag: !Ref pEcrImageTag}", "}")
    write(tree / "cfn/plain/template.yaml", template)
    [(_, what)] = refused(tree)
    assert what.startswith("lacks pEcrImageTag, which ")


def test_all_problems_of_all_stacks_at_once(tmp_path: Path) -> None:
    tree = stacks.stack(tmp_path, "- a", "one")
    stacks.stack(tree, QUEUE, "two", pForeign="x")
    (tree / "cfn/three").mkdir()
    write(tree / "cfn/stacks.yaml", "four: x")
    assert sorted(where for where, _ in refused(tree)) == [
        "cfn/one/template.yaml:1",
        "cfn/stacks.yaml",
        "cfn/three/parameters.json",
        "cfn/three/template.yaml",
        "cfn/two/parameters.json",
    ]


def test_a_hundred_stacks_are_read_in_a_moment(tmp_path: Path) -> None:
    resources = {
        f"r{number}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"queue-{number}"}}
        for number in range(50)
    }
    for number in range(100):
        stacks.stack(tmp_path, json.dumps({"Resources": resources}), f"stack-{number}")
    began = time.monotonic()
    assert len(read(tmp_path, "dev")) == 100
    assert time.monotonic() - began < 2


def test_the_environment_is_the_runs_whatever_the_file_says(tmp_path: Path) -> None:
    template = f"Parameters: {{pEnvironment: {{Type: String}}}}\n{QUEUE}"
    tree = stacks.stack(tmp_path, template, pEnvironment="dev")
    stacks.stack(tree, QUEUE, "two")
    one, two = read(tree, "stg")
    assert one.parameters.values == {"pEnvironment": "stg"}
    assert json.loads(one.parameters.text) == {"Parameters": {"pEnvironment": "dev"}}
    assert two.parameters.values == {}


def test_an_environment_that_the_template_does_not_allow(tmp_path: Path) -> None:
    about = "{Type: String, AllowedValues: [dev, prod]}"
    template = f"Parameters: {{pEnvironment: {about}}}\n{QUEUE}"
    tree = stacks.stack(tmp_path, template, pEnvironment="nonsense")
    assert [stack.name for stack in read(tree, "dev")] == ["one"]
    with pytest.raises(InputErrors) as raised:
        read(tree, "stg")
    [error] = raised.value.errors
    assert error.where == f"{tree}/cfn/one/template.yaml: pEnvironment"
    assert error.what == "gets the prefix 'stg', which is none of its AllowedValues"
    assert "RESOURCE_PREFIX" in error.fix
