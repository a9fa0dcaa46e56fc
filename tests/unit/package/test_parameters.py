from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci.errors import InputError
from ci.package.parameters import IMAGE_TAG, ParameterFile, judge, known, read, shown, with_value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"Parameters": {"pEcrImageTag": "old"}}', '{"Parameters": {"pEcrImageTag": "new"}}'),
        ('{"Parameters":{"a":"x"}}', '{"Parameters":{"a":"x","pEcrImageTag":"new"}}'),
        ('{"Parameters": {}}', '{"Parameters": {"pEcrImageTag": "new"}}'),
        ('{\n  "Parameters": {\n    "a": "x"\n  }\n}\n',
         '{\n  "Parameters": {\n    "a": "x",\n    "pEcrImageTag": "new"\n  }\n}\n'),
        ('{\n  "Parameters": { }\n}\n',
         '{\n  "Parameters": {\n    "pEcrImageTag": "new"\n  }\n}\n'),
        ('{\r\n\t"Parameters" : {\r\n\t\t"a" : "x"\r\n\t}\r\n}',
         '{\r\n\t"Parameters" : {\r\n\t\t"a" : "x",\r\n\t\t"pEcrImageTag" : "new"\r\n\t}\r\n}'),
        ('{"Tags": {"Parameters": {"pEcrImageTag": "t"}}, "Parameters": {"b": "\\u00fc\\"}"}}',
         '{"Tags": {"Parameters": {"pEcrImageTag": "t"}}, "Parameters": {"b": "\\u00fc\\"}",'
         '"pEcrImageTag": "new"}}'),
    ],
)  # fmt: skip
def test_one_value_is_set_and_nothing_else_moves(before: str, after: str) -> None:
    assert with_value(before, IMAGE_TAG, "new") == after
    expected = json.loads(before)
    expected["Parameters"][IMAGE_TAG] = "new"
    assert json.loads(after) == expected


def test_the_tag_is_set_where_the_template_declares_it_and_nowhere_else() -> None:
    file = ParameterFile(Path("parameters.json"), '{"Parameters": {"a": "x"}}', {"a": "x"})
    assert file.tagged({"a": {}}, "build-1") is file
    tagged = file.tagged({"a": {}, IMAGE_TAG: {}}, "build-1")
    assert tagged.values == {"a": "x", IMAGE_TAG: "build-1"}
    assert json.loads(tagged.text) == {"Parameters": tagged.values}


def test_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "parameters.json"
    path.write_bytes(b'{\r\n"Parameters": {"a": "x"}\r\n}\r\n')
    file = read(path, [])
    assert file is not None
    assert file.text.encode() == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "is not there"),
        (b"{", "is not JSON: line 1, column 2"),
        (b'{"Parameters": {"a": "x",}}', "is not JSON: line 1"),
        (b'// c\n{"Parameters": {}}', "is not JSON: line 1, column 1"),
        (b'\xef\xbb\xbf{"Parameters": {}}', "is not JSON"),
        (b'{"Parameters": {"a": "\xff"}}', "is not JSON: 'utf-8'"),
        (b'{"Parameters": {"a": "x", "a": "y"}}', "found the key 'a' twice"),
        (b"{}", "has no Parameters"),
        (b"[]", "has no Parameters"),
        (b'{"Parameters": []}', "has no Parameters"),
        (b'{"Parameters": {}, "Tgas": {}}', "has 'Tgas', which CodePipeline does not know"),
        (b'{"Parameters": {"a": 5}}', "has a = 5; CodePipeline takes text only"),
        (b'{"Parameters": {"a": ["x"]}}', "CodePipeline takes text only"),
    ],
)
def test_what_is_no_parameter_file(content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / "parameters.json"
    if content is not None:
        path.write_bytes(content)
    problems: list[InputError] = []
    read(path, problems)
    [problem] = problems
    assert problem.where == str(path)
    assert what in problem.what
    assert problem.fix
    assert problem.exit_code == 2


DECLARED = {
    "pName": {"Type": "String"},
    "pKind": {"Type": "String", "Default": "a", "AllowedValues": ["a", "b"]},
    "pOn": {"Type": "String", "Default": "true", "AllowedValues": [True, False]},
    "pList": {"Type": "CommaDelimitedList", "Default": "a", "AllowedValues": ["a", "b"]},
    "pCount": {"Type": "Number", "Default": 1},
    "pMail": {"Type": "String", "Default": "", "AllowedPattern": "^$|.+@.+"},
    "pOdd": {"Type": "String", "Default": "", "AllowedPattern": "\\p{Alpha}(*"},
    IMAGE_TAG: {"Type": "String"},
}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"pNmae": "x", "pName": "y"}, "has pNmae, which the template does not declare"),
        ({}, "lacks pName, which the template requires"),
        ({"pName": "x", "pKind": "c"}, "has pKind = 'c', which is none of its AllowedValues"),
        ({"pName": "x", "pList": "a, c"}, "has pList = 'a, c', which is none of its"),
        ({"pName": "x", "pCount": "many"}, "has pCount = 'many', which is no number"),
        ({"pName": "x", "pMail": "me"}, "does not match its AllowedPattern"),
        ({"pName": "x"}, None),
        ({"pName": "x", "pKind": "b", "pOn": "false", "pList": "a, b", "pCount": "2.5"}, None),
        ({"pName": "x", "pMail": "a@b", "pOdd": "x", IMAGE_TAG: "y"}, None),
        ({"pName": {"Ref": "pOther"}, "pCount": {"Ref": "pOther"}}, None),
    ],
)
def test_what_cloudformation_would_refuse(values: dict[str, object], what: str | None) -> None:
    problems: list[InputError] = []
    judge(values, DECLARED, "parameters.json", problems)
    assert [what in problem.what for problem in problems if what] == ([True] if what else [])
    assert len(problems) == (1 if what else 0)


def test_the_fix_names_what_was_probably_meant() -> None:
    problems: list[InputError] = []
    judge({"pNmae": "x", "pName": "y"}, DECLARED, "parameters.json", problems)
    assert problems[0].fix == "did you mean pName?"


def test_what_is_known_before_the_deployment() -> None:
    declared = {
        "pA": {"Type": "String", "Default": "a"},
        "pB": {"Type": "String", "Default": "b"},
        "pN": {"Type": "Number", "Default": 5},
        "pSsm": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a/b"},
        "pNone": {"Type": "String"},
    }
    assert known(declared, {"pB": "x", "pForeign": "y"}) == {"pA": "a", "pB": "x", "pN": "5"}


def test_values_for_everybodys_eyes() -> None:
    declared = {"pA": {"NoEcho": True}, "pB": {"NoEcho": "true"}, "pC": {"NoEcho": False}, "pD": {}}
    given = dict.fromkeys(declared, "value")
    assert shown(declared, given) == {"pA": "****", "pB": "****", "pC": "value", "pD": "value"}
