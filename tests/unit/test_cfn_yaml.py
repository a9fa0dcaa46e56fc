from __future__ import annotations

import pytest

from ci.cfn_yaml import CfnYamlError, dump, load


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("!Ref X", {"Ref": "X"}),
        ("!Condition X", {"Condition": "X"}),
        ("!GetAtt A.B", {"Fn::GetAtt": ["A", "B"]}),
        ("!GetAtt A.Outputs.B", {"Fn::GetAtt": ["A", "Outputs.B"]}),
        ("!GetAtt [A, B]", {"Fn::GetAtt": ["A", "B"]}),
        ("!Sub '${A}-x'", {"Fn::Sub": "${A}-x"}),
        ("!Sub ['${a}', {a: !Ref B}]", {"Fn::Sub": ["${a}", {"a": {"Ref": "B"}}]}),
        ("!If [C, !Ref A, !Ref B]", {"Fn::If": ["C", {"Ref": "A"}, {"Ref": "B"}]}),
        ("!Transform {Name: AWS::Include}", {"Fn::Transform": {"Name": "AWS::Include"}}),
    ],
)
def test_short_forms_become_long_ones(short: str, long: object) -> None:
    assert load(f"value: {short}") == {"value": long}


def test_text_stays_text() -> None:
    """As YAML 1.1 has it, some of these would be dates, octal numbers and truth values."""
    document = load("Version: 2012-10-17\nMap: {012345670123: {on: '0123', y: 010101010101}}")
    assert document["Version"] == "2012-10-17"
    assert list(document["Map"]) == ["012345670123"]
    assert document["Map"]["012345670123"]["on"] == "0123"


def test_what_is_dumped_reads_the_same() -> None:
    document = {
        "Version": "2012-10-17",
        "text": "yes",
        "number": 12,
        "account": "012345670123",
        "code": "def f():\n    return 1\n",
        "list": [{"Ref": "A"}, None, True, ""],
    }
    assert load(dump(document)) == document
    assert "code: |" in dump(document)
    assert list(load(dump(document))) == list(document)


def test_anchors_are_written_out() -> None:
    document = load("a: &x {k: [1]}\nb: *x\nc: {<<: *x, k: [2]}")
    assert document == {"a": {"k": [1]}, "b": {"k": [1]}, "c": {"k": [2]}}
    assert "&" not in dump(document)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: 1\nb: 2\na: 3", 3, "found the key 'a' twice"),
        ('{"a": 1, "a": 2}', 1, "found the key 'a' twice"),
        ("a: [1\nb: 2]", 2, "flow sequence"),
        ("- a", 1, "is no mapping"),
        ("", 1, "is no mapping"),
        ("just text", 1, "is no mapping"),
        ("a: &x [*x]", 1, "recursive"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: !!python/object/apply:os.system [ls]", 1, "could not determine a constructor"),
        ("a: 1\nb: *nowhere", 2, "undefined alias"),
        ("a: \x00", 1, "control characters"),
    ],
)
def test_what_is_no_template(text: str, line: int, what: str) -> None:
    with pytest.raises(CfnYamlError, match=what) as raised:
        load(text)
    assert raised.value.line == line
