"""What ends: stacks that are deleted, updates that are undone, what an update leaves over.

Source: AWS CloudFormation User Guide, "Stack failure options"; AWS CloudFormation Template
Reference, "DeletionPolicy attribute" and "UpdateReplacePolicy attribute".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ci.local.aws_apis.cloudformation.making import Making
from ci.local.aws_apis.cloudformation.resources.kind import Failed
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack
from ci.local.aws_apis.cloudformation.wanted import Wanted


@dataclass(frozen=True)
class Step:
    """Something done in an update, to be undone where it fails.

    ``before`` None: the resource was added; ``made`` is what came of it, None where nothing did.
    """

    before: Resource | None
    after: Wanted
    made: Resource | None
    replaced: bool = False


class Ending:
    """Deletes and restores the resources of one stack."""

    def __init__(self, stack: Stack, request: Request, making: Making) -> None:
        self._stack = stack
        self._request = request
        self._making = making

    def delete_all(self, *, created: bool = False, forced: bool = False) -> list[str]:
        """Deletes every resource, dependents first; ``created`` where a creation is undone.

        The logical ids of those that could not be deleted; what they need stays, too. ``forced``
        lets them be.
        """
        stack = self._stack
        failed: list[str] = []
        needed: set[str] = set()
        for resource in dependents_first(list(stack.resources.values())):
            name = resource.logical_id
            if name in needed:
                needed |= resource.needs
                continue
            if resource.physical_id and not self._deleted(resource, created=created):
                if not forced:
                    failed.append(name)
                    needed |= resource.needs
                    continue
                self._making.skip(resource)
            with stack.lock:
                stack.resources.pop(name, None)
        return failed

    def _deleted(self, resource: Resource, *, created: bool) -> bool:
        if self._retained(resource, created=created):
            self._making.skip(resource)
            return True
        try:
            self._making.delete(resource)
        except Failed:
            return False
        return True

    def _retained(self, resource: Resource, *, created: bool) -> bool:
        """A resource that its own operation undoes stays, too, unless the caller says otherwise:
        ``RetainExceptOnCreate``, of the resource or of ExecuteChangeSet."""
        if created and self._request.retain_except_on_create:
            return False
        policy = resource.deletion
        return policy == "Retain" or (policy == "RetainExceptOnCreate" and not created)

    def roll_back(self, steps: Sequence[Step]) -> None:
        """Undoes what an update has done, the last first."""
        stack = self._stack
        failed: list[str] = []
        unwanted: list[tuple[Resource, bool]] = []
        for step in reversed(steps):
            name = step.after.wish.logical_id
            with stack.lock:
                if step.before is None:
                    stack.resources.pop(name, None)
                else:
                    stack.resources[name] = step.before
            if step.before is None or step.replaced:
                if step.made and step.made.physical_id:
                    unwanted.append((step.made, step.before is None))
                continue
            try:
                self._making.restore(step.before, step.made or step.after)
            except Failed:
                failed.append(name)
        stack.leftovers.clear()
        if failed:
            stack.told("UPDATE_ROLLBACK_FAILED", told_failed("update", failed))
            return
        stack.told("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        for resource, added in unwanted:
            if added and self._retained(resource, created=True):
                self._making.skip(resource)
            else:
                self._delete_or_leave(resource)
        stack.told("UPDATE_ROLLBACK_COMPLETE")

    def clean_up(self) -> None:
        """Deletes what was replaced or removed. What cannot be deleted is left behind, as on AWS:
        the update itself succeeded."""
        stack = self._stack
        gone, stack.leftovers = stack.leftovers, []
        for resource in dependents_first(gone):
            replaced = resource.logical_id in stack.resources
            policy = resource.replacement if replaced else resource.deletion
            if policy.startswith("Retain"):
                self._making.skip(resource)
            else:
                self._delete_or_leave(resource)

    def _delete_or_leave(self, resource: Resource) -> None:
        try:
            self._making.delete(resource)
        except Failed:
            return  # told as an event


def dependents_first(resources: Sequence[Resource]) -> list[Resource]:
    """In an order of deletion."""
    found: list[Resource] = []
    waiting = list(resources)
    while waiting:
        needed = {name for each in waiting for name in each.needs}
        ready = [each for each in waiting if each.logical_id not in needed]
        # What different updates have left over may need each other: the newest first, then.
        ready = ready or waiting[-1:]
        found += reversed(ready)
        taken = set(map(id, ready))
        waiting = [each for each in waiting if id(each) not in taken]
    return found


def told_failed(word: str, names: Sequence[str]) -> str:
    """The reason of a stack's status after a failure."""
    return f"The following resource(s) failed to {word}: [{', '.join(names)}]. "
