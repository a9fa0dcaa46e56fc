"""moto's S3 takes a statement of a bucket policy for valid whatever its conditions say: a bucket
that denies plain HTTP would deny everything.

Source: Amazon S3 User Guide, "Restrict access to only HTTPS requests" (``aws:SecureTransport``).
"""

from __future__ import annotations

import json
from typing import Any

_PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


def install() -> None:
    """Lets requests here count as encrypted, as they are on AWS."""
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(self.policy)
        statements = document.get("Statement") or []
        statements = [statements] if isinstance(statements, dict) else statements
        document["Statement"] = [each for each in statements if _condition(each) != _PLAIN_HTTP]
        return IAMPolicy(json.dumps(document)).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission  # type: ignore[method-assign]


def _condition(statement: dict[str, Any]) -> Any:
    """A statement's condition, its truth values as text."""
    return {
        operator: {
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in keys.items()
        }
        for operator, keys in (statement.get("Condition") or {}).items()
    }
