from __future__ import annotations

import pytest

from ci import cfn_yaml
from ci.package.expressions import Scope, Unknown

DOCUMENT = cfn_yaml.load("""
Mappings: {Accounts: {dev: {id: 012345678901}}}
Conditions:
  IsDev: !Equals [!Ref pEnv, dev]
  Not: !Not [!Condition IsDev]
  And: !And [!Condition IsDev, !Condition Not]
  Or: !Or [!Condition IsDev, !Condition Not]
  Later: !Equals [!ImportValue x, y]
  Circle: !Condition Circle
""")
SCOPE = Scope({"pEnv": "dev", "pTag": "t", "AWS::Region": "us-east-1"}, DOCUMENT)


def value(text: str) -> object:
    return cfn_yaml.load(f"x: {text}")["x"]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("plain", "plain"),
        ("12", "12"),
        ("true", "true"),
        ("!Ref pEnv", "dev"),
        ("!Sub '${AWS::Region}/${pEnv}:${ pTag }'", "us-east-1/dev:t"),
        ("!Sub '${!Literal}-${pEnv}'", "${Literal}-dev"),
        ("!Sub ['${a}/${pEnv}', {a: !Join ['-', [x, !Ref pTag]]}]", "x-t/dev"),
        ("!Sub ['${pEnv}', {pEnv: hidden}]", "hidden"),
        ("!Join ['', [a, !Ref pEnv, 1]]", "adev1"),
        ("!FindInMap [Accounts, !Ref pEnv, id]", "012345678901"),
    ],
)
def test_what_is_known(expression: str, text: str) -> None:
    assert SCOPE.text(value(expression)) == text


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("!Ref rBucket", "Ref rBucket"),
        ("!Sub '${rBucket.Arn}'", r"Ref rBucket\.Arn"),
        ("!GetAtt a.b", "Fn::GetAtt"),
        ("!ImportValue x", "Fn::ImportValue"),
        ("!Join ['', !Ref pList]", "Fn::Join"),
        ("!FindInMap [Accounts, prod, id]", "Fn::FindInMap"),
        ("!Sub [a]", "Fn::Sub"),
        ("[a, b]", "no expression"),
        ("{a: b, c: d}", "no expression"),
        ("~", "no expression"),
    ],
)
def test_what_only_the_deployment_tells(expression: str, says: str) -> None:
    with pytest.raises(Unknown, match=says):
        SCOPE.text(value(expression))


@pytest.mark.parametrize(
    ("name", "holds"),
    [("IsDev", True), ("Not", False), ("And", False), ("Or", True), ("Later", None),
     ("Circle", None), ("Nowhere", None)],
)  # fmt: skip
def test_conditions(name: str, holds: bool | None) -> None:
    assert SCOPE.holds(name) is holds
