"""Change sets in the form of DescribeChangeSet's answer."""

from __future__ import annotations

from typing import Any

import pytest

from ci.deploy.changes import lines, read, touches_code, with_image
from ci.deploy.states import refusal

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def change(action: str, name: str, kind: str, **more: Any) -> dict[str, Any]:
    properties = more.pop("properties", ())
    details = [{"Target": {"Attribute": "Properties", "Name": each}} for each in properties]
    about = {"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Details": details}
    return {"Type": "Resource", "ResourceChange": {**about, **more}}


SET = [
    change("Add", "rQueue", "AWS::SQS::Queue"),
    change("Modify", "rRole", "AWS::IAM::Role", Replacement="False", properties=["Policies"],
           PhysicalResourceId="role-1"),
    change("Modify", "rTable", "AWS::DynamoDB::Table", Replacement="True",
           PhysicalResourceId="table-1", properties=["KeySchema"], PolicyAction="ReplaceAndRetain"),
    change("Modify", "rBucket", "AWS::S3::Bucket", Replacement="Conditional"),
    change("Remove", "rTopic", "AWS::SNS::Topic", PhysicalResourceId="t", PolicyAction="Delete"),
    change("Remove", "rLogs", "AWS::Logs::LogGroup", PolicyAction="Retain"),
    change("Dynamic", "rMacro", "AWS::KMS::Key"),
    {"Type": "Hook"},
]  # fmt: skip


def test_what_happens_to_each_resource() -> None:
    found = {each.logical_id: each for each in read(SET)}
    assert {name: each.action for name, each in found.items()} == {
        "rQueue": "added", "rRole": "modified", "rTable": "replaced", "rBucket": "replaced",
        "rTopic": "removed", "rLogs": "removed", "rMacro": "replaced",
    }  # fmt: skip
    assert [name for name, each in found.items() if not each.certain] == ["rBucket", "rMacro"]
    assert [name for name, each in found.items() if each.kept] == ["rTable", "rLogs"]
    assert found["rRole"].properties == ("Policies",)
    assert found["rTable"].physical_id == "table-1"


def test_what_holds_data_is_not_lost_unnoticed() -> None:
    assert [each.logical_id for each in read(SET) if each.loses_data] == [
        "rTable", "rBucket", "rLogs", "rMacro",
    ]  # fmt: skip


def test_changes_in_words() -> None:
    told = list(lines(read(SET[:4])))
    assert told == [
        "+ added    rQueue   AWS::SQS::Queue",
        "~ modified rRole    AWS::IAM::Role (Policies)",
        "! replaced rTable   AWS::DynamoDB::Table (KeySchema; the old one is kept)",
        "! replaced rBucket  AWS::S3::Bucket (may be replaced: the execution decides)",
    ]


@pytest.mark.parametrize(
    ("about", "touches"),
    [
        (change("Modify", "f", "AWS::Lambda::Function", properties=["Code", "Timeout"]), True),
        (change("Modify", "f", "AWS::Lambda::Function", properties=["Timeout"]), False),
        (change("Modify", "f", "AWS::Lambda::Function"), True),
        (change("Add", "f", "AWS::Lambda::Function"), True),
        (change("Remove", "f", "AWS::Lambda::Function"), False),
        (change("Add", "f", "AWS::SQS::Queue"), False),
    ],
)
def test_which_functions_may_get_another_image(about: dict[str, Any], touches: bool) -> None:
    [found] = read([about])
    assert touches_code(found) is touches


def test_a_new_image_is_told_by_its_digests() -> None:
    [found] = read([change("Modify", "rF", "AWS::Lambda::Function")], ("rNested",))
    assert with_image(found, OLD, OLD).image is None
    told = with_image(found, OLD, NEW)
    assert told.as_json()["image"] == {"before": OLD, "after": NEW}
    assert list(lines([told]))[-1] == "  new image rNested/rF: 111111111111 → 222222222222"
    first = with_image(found, "", NEW)
    assert list(lines([first]))[-1].endswith("none → 222222222222")
    assert first.as_json()["image"] == {"before": None, "after": NEW}


@pytest.mark.parametrize(
    ("status", "says", "fix"),
    [
        ("ROLLBACK_COMPLETE", "its creation failed.*the first failure was rA", "delete-stack"),
        ("ROLLBACK_FAILED", "its creation failed", "delete-stack"),
        ("CREATE_FAILED", "its creation failed", "delete-stack"),
        ("DELETE_FAILED", "its deletion failed half-way", "delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "so did the way back", "continue-update-rollback"),
        ("UPDATE_FAILED", "nothing was taken back", "rollback-stack"),
        ("CREATE_IN_PROGRESS", "somebody else is at work", "wait"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "somebody else is at work", "wait"),
        ("DELETE_IN_PROGRESS", "somebody else is at work", "wait"),
        ("SOMETHING_NEW", "takes no update", "events"),
    ],
)
def test_states_that_allow_no_deployment(status: str, says: str, fix: str) -> None:
    import re

    found = refusal("one", status, "rA (T): it broke")
    assert found is not None
    assert found.where == "stack one"
    assert status in found.what
    assert re.search(says, found.what)
    assert fix in found.fix


@pytest.mark.parametrize(
    "status",
    [None, "REVIEW_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE",
     "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"],
)  # fmt: skip
def test_states_that_do(status: str | None) -> None:
    assert refusal("one", status) is None
