"""Tags in the forms that APIs take, and what of them changed."""

from __future__ import annotations

from collections.abc import Mapping

from ci.local.aws_apis.cloudformation.resources.kind import Work


def listed(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """``[{"Key": …, "Value": …}]``."""
    return [{key: name, value: each} for name, each in tags.items()]


def removed(work: Work) -> list[str]:
    """Names of the tags that a resource is to have no longer."""
    return [name for name in work.tags_before if name not in work.tags]


def differ(work: Work) -> bool:
    return dict(work.tags) != dict(work.tags_before)
