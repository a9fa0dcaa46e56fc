from __future__ import annotations

import json
from typing import Any

import pytest

from ci.local.aws_apis.cloudformation.policy import denied, judge
from ci.local.aws_apis.cloudformation.refusals import Refused

ALLOW = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Statement": list(statements)})


def deny(action: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Principal": "*", "Resource": "*"} | more


TABLES = text(
    ALLOW,
    deny(
        ["Update:Replace", "Update:Delete"],
        Condition={"StringEquals": {"ResourceType": ["AWS::DynamoDB::Table"]}},
    ),
)


@pytest.mark.parametrize(
    ("policy", "action", "kind", "forbidden"),
    [
        ("", "Replace", "AWS::DynamoDB::Table", False),
        (TABLES, "Replace", "AWS::DynamoDB::Table", True),
        (TABLES, "Delete", "AWS::DynamoDB::Table", True),
        (TABLES, "Modify", "AWS::DynamoDB::Table", False),
        (TABLES, "Replace", "AWS::SQS::Queue", False),
        (text(ALLOW, deny("Update:*", Resource="LogicalResourceId/rA")), "Modify", "t", True),
        (text(ALLOW, deny("Update:*", Resource="LogicalResourceId/rB*")), "Modify", "t", False),
        (text(ALLOW, deny("Update:*", Resource="LogicalResourceId/r*")), "Modify", "t", True),
        (text(ALLOW, deny("Update:*", Condition={"StringLike": {"ResourceType": "AWS::S3::*"}})),
         "Modify", "AWS::S3::Bucket", True),
        (text({**ALLOW, "Resource": "LogicalResourceId/rB"}), "Modify", "t", True),
        (text({k: v for k, v in ALLOW.items() if k != "Resource"}
              | {"NotResource": "LogicalResourceId/rB"}), "Modify", "t", False),
    ],
)  # fmt: skip
def test_what_a_policy_forbids(policy: str, action: str, kind: str, forbidden: bool) -> None:
    assert bool(denied(policy, action, "rA", kind)) == forbidden


def test_the_words_are_awss() -> None:
    assert denied(TABLES, "Replace", "rA", "AWS::DynamoDB::Table") == (
        "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for "
        "resource [LogicalResourceId/rA]"
    )


@pytest.mark.parametrize(
    "policy",
    ["", "{", "[]", "{}", '{"Statement": []}', '{"Statement": ["x"]}',
     '{"Statement": [{"Effect": "Maybe", "Principal": "*"}]}',
     '{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Resource": "*"}]}'],
)  # fmt: skip
def test_what_is_no_policy(policy: str) -> None:
    with pytest.raises(Refused, match="Error validating stack policy"):
        judge(policy)
    judge(TABLES)
