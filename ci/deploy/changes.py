"""What a change set says, read and told. Pure.

Source: AWS CloudFormation API Reference, DescribeChangeSet, ``ResourceChange``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ci.deploy.stateful import holds_data

_ACTIONS = {"Add": "added", "Remove": "removed", "Import": "imported"}
_MARKS = {"added": "+", "modified": "~", "replaced": "!", "removed": "-", "imported": ">"}
_KEEPING = ("Retain", "ReplaceAndRetain")


@dataclass(frozen=True)
class NewImage:
    """Digests of the image that a function runs and will run; ``before`` is blank for a new one,
    ``after`` where only the deployment tells."""

    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """What happens to one resource. ``action`` is added, modified, replaced, removed or imported.

    ``certain`` is False where only the execution decides whether it is replaced. ``kept`` says
    that the old resource outlives its removal or replacement. ``properties`` are those that
    change, ``within`` the logical ids of the nested stacks that it lies in.
    """

    action: str
    logical_id: str
    kind: str
    physical_id: str = ""
    certain: bool = True
    kept: bool = False
    properties: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    image: NewImage | None = None

    @property
    def place(self) -> str:
        """``rNested/rTable``."""
        return "/".join((*self.within, self.logical_id))

    @property
    def loses_data(self) -> bool:
        """Whether what the resource holds would be gone, or left behind unused."""
        return self.action in ("replaced", "removed") and holds_data(self.kind)

    def as_json(self) -> dict[str, Any]:
        """As the report's schema has it."""
        return {
            "action": self.action,
            "logical_id": self.place,
            "type": self.kind,
            "physical_id": self.physical_id or None,
            "certain": self.certain,
            "kept": self.kept,
            "properties": list(self.properties),
            "image": {"before": self.image.before or None, "after": self.image.after or None}
            if self.image
            else None,
        }


def read(described: Sequence[Mapping[str, Any]], within: tuple[str, ...] = ()) -> list[Change]:
    """The changes of a change set, from its ``Changes``, in their order; hooks are none."""
    return [
        _change(each["ResourceChange"], within) for each in described if "ResourceChange" in each
    ]


def touches_code(change: Change) -> bool:
    """Whether a function may get another image: its code is among what changes, or nothing is
    said of what does."""
    if change.kind != "AWS::Lambda::Function" or change.action == "removed":
        return False
    return change.action == "added" or not change.properties or "Code" in change.properties


def with_image(change: Change, before: str, after: str) -> Change:
    """The change with the function's images, where they are not the same."""
    return change if before == after else replace(change, image=NewImage(before, after))


def lines(changes: Sequence[Change]) -> Iterator[str]:
    """The changes in words: a line for each resource, then the functions with a new image."""
    width = max((len(change.place) for change in changes), default=0)
    for change in changes:
        notes = []
        if not change.certain:
            notes.append("may be replaced: the execution decides")
        if change.properties and change.action in ("modified", "replaced"):
            notes.append(", ".join(change.properties))
        if change.kept:
            notes.append("the old one is kept")
        told = f" ({'; '.join(notes)})" if notes else ""
        mark = _MARKS[change.action]
        yield f"{mark} {change.action:<9}{change.place:<{width}}  {change.kind}{told}".rstrip()
    yield from new_images(changes)


def new_images(changes: Sequence[Change]) -> Iterator[str]:
    """A line for each function that gets another image."""
    for change in changes:
        if image := change.image:
            before, after = (_short(each) for each in (image.before, image.after))
            yield f"  new image {change.place}: {before or 'none'} → {after or 'told later'}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _change(about: Mapping[str, Any], within: tuple[str, ...]) -> Change:
    replacement = about.get("Replacement")
    action = _ACTIONS.get(about["Action"], "modified")
    certain = about["Action"] != "Dynamic"
    if action == "modified" and replacement in ("True", "Conditional"):
        action, certain = "replaced", certain and replacement == "True"
    elif not certain:
        action = "replaced"  # it may be: what is not known is taken for the worst
    changed = [
        target.get("Name") or target.get("Attribute", "")
        for detail in about.get("Details") or ()
        if (target := detail.get("Target"))
    ]
    return Change(
        action=action,
        logical_id=about["LogicalResourceId"],
        kind=about["ResourceType"],
        physical_id=about.get("PhysicalResourceId") or "",
        certain=certain,
        kept=about.get("PolicyAction") in _KEEPING,
        properties=tuple(sorted({name for name in changed if name})),
        within=within,
    )
