"""Stack policies: what an update may do to which resources.

Source: AWS CloudFormation User Guide, "Prevent updates to stack resources".
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any

from ci.local.aws_apis.cloudformation.refusals import Refused

_KEYS = {
    "Action",
    "Condition",
    "Effect",
    "NotAction",
    "NotResource",
    "Principal",
    "Resource",
    "Sid",
}


def judge(text: str) -> None:
    """Refuses what is no stack policy."""
    try:
        statements = _statements(text)
    except ValueError as error:
        raise Refused("Error validating stack policy: Invalid stack policy") from error
    for statement in statements:
        good = (
            isinstance(statement, dict)
            and statement.get("Effect") in ("Allow", "Deny")
            and statement.get("Principal") == "*"
            and statement.keys() <= _KEYS
        )
        if not good:
            raise Refused("Error validating stack policy: Invalid stack policy")


def denied(text: str, action: str, logical_id: str, kind: str) -> str:
    """Why a policy forbids ``action`` (``Modify``, ``Replace``, ``Delete``); blank if it does not.

    Without a policy everything is allowed; with one, what no statement allows is not.
    """
    if not text:
        return ""
    allowed = False
    for number, statement in enumerate(_statements(text), start=1):
        if not _applies(statement, f"Update:{action}", logical_id, kind):
            continue
        if statement["Effect"] == "Deny":
            resource = f"LogicalResourceId/{logical_id}"
            return (
                f"Action denied by stack policy: Statement [#{number}] does not allow "
                f"[Update:{action}] for resource [{resource}]"
            )
        allowed = True
    if allowed:
        return ""
    return (
        f"Action not allowed by stack policy: no statement allows [Update:{action}] for resource "
        f"[LogicalResourceId/{logical_id}]"
    )


def _statements(text: str) -> list[Any]:
    document = json.loads(text)
    found = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not found:
        raise ValueError("no statement")
    return found


def _applies(statement: Mapping[str, Any], action: str, logical_id: str, kind: str) -> bool:
    resource = f"LogicalResourceId/{logical_id}"
    return (
        _chosen(statement, "Action", action)
        and _chosen(statement, "Resource", resource)
        and _holds(statement.get("Condition"), kind)
    )


def _chosen(statement: Mapping[str, Any], key: str, value: str) -> bool:
    if f"Not{key}" in statement:
        return not _matches(statement[f"Not{key}"], value)
    return _matches(statement.get(key, []), value)


def _matches(patterns: Any, value: str) -> bool:
    listed = patterns if isinstance(patterns, list) else [patterns]
    return any(fnmatch.fnmatchcase(value, str(each)) for each in listed)


def _holds(condition: Any, kind: str) -> bool:
    """The only key of a condition is ResourceType, by StringEquals or StringLike."""
    if not condition:
        return True
    for operator, keys in condition.items():
        wanted = keys.get("ResourceType", [])
        listed = wanted if isinstance(wanted, list) else [wanted]
        like = operator == "StringLike"
        found = _matches(listed, kind) if like else kind in listed
        if not found:
            return False
    return True
