from __future__ import annotations

import copy
from typing import Any

import pytest

from ci.cfn_loops import TRANSFORM, LoopError, expanded


def document(loop: Any, **more: Any) -> dict[str, Any]:
    return {
        "Transform": TRANSFORM,
        "Resources": {"Fn::ForEach::Loop": loop, "rOther": {"Type": "A"}},
        **more,
    }


def test_one_resource_for_each_item() -> None:
    given = document(
        ["Image", ["a-b", "c.d"], {"r&{Image}": {"Name": {"Fn::Sub": "${p}-${Image}"}}}]
    )
    before = copy.deepcopy(given)
    assert expanded(given, {}) == {
        "Resources": {
            "rab": {"Name": {"Fn::Sub": "${p}-a-b"}},
            "rcd": {"Name": {"Fn::Sub": "${p}-c.d"}},
            "rOther": {"Type": "A"},
        }
    }
    assert given == before


def test_a_template_without_loops_stays_as_it_is() -> None:
    given = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"r": {"Type": "A"}}}
    assert expanded(given, {}) == given


def test_other_transforms_stay() -> None:
    given = document(["X", [], {}], Transform=["AWS::Serverless-2016-10-31", TRANSFORM])
    assert expanded(given, {})["Transform"] == ["AWS::Serverless-2016-10-31"]


@pytest.mark.parametrize(
    ("values", "names"), [({}, {"ra", "rb"}), ({"pNames": "c, d"}, {"rc", "rd"})]
)
def test_a_list_may_be_a_parameter(values: dict[str, str], names: set[str]) -> None:
    given = document(
        ["X", {"Ref": "pNames"}, {"r${X}": {}}],
        Parameters={"pNames": {"Type": "CommaDelimitedList", "Default": "a,b"}},
    )
    assert expanded(given, values)["Resources"].keys() == names | {"rOther"}


def test_loops_in_loops_and_in_properties() -> None:
    given = document(
        ["X", ["a", "b"], {"Fn::ForEach::Inner": ["Y", ["1", "2"], {"r${X}${Y}": {"At": "${X}"}}]}]
    )
    assert expanded(given, {})["Resources"].keys() == {"ra1", "ra2", "rb1", "rb2", "rOther"}
    given = document(["X", ["a"], {"r${X}": {"Fn::ForEach::Tags": ["K", ["k-1"], {"${K}": "v"}]}}])
    assert expanded(given, {})["Resources"]["ra"] == {"k-1": "v"}


def test_outputs_too() -> None:
    given = document(["X", [], {}], Outputs={"Fn::ForEach::O": ["X", ["a"], {"o${X}": {"V": 1}}]})
    assert expanded(given, {})["Outputs"] == {"oa": {"V": 1}}


@pytest.mark.parametrize(
    ("loop", "what"),
    [
        (["X", ["a"]], "is not of the form"),
        (["X", ["a"], "text"], "is not of the form"),
        ("text", "is not of the form"),
        (["X", {"Ref": "pMissing"}, {"r${X}": {}}], "something else than a list"),
        (["X", [{"Ref": "p"}], {"r${X}": {}}], "something else than a list"),
        (["X", ["a", "b"], {"rSame": {}}], "makes rSame twice"),
        (["X", ["a-b", "ab"], {"r&{X}": {}}], "makes rab twice"),
        (["X", ["Other"], {"r${X}": {}}], "rOther a second time"),
        (["X", ["a-b"], {"r${X}": {}}], "ra-b, which is no logical id"),
    ],
)
def test_what_cloudformation_refuses(loop: Any, what: str) -> None:
    with pytest.raises(LoopError, match=what):
        expanded(document(loop), {})


def test_loops_need_their_transform() -> None:
    given = document(["X", ["a"], {"r${X}": {}}])
    del given["Transform"]
    with pytest.raises(LoopError, match=TRANSFORM):
        expanded(given, {})
