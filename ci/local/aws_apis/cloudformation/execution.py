"""Stacks made, changed, rolled back and deleted, in a thread of their own.

Resources come one after the other in the order of their dependencies. Source: AWS CloudFormation
User Guide, "Stack failure options", "Update behaviors of stack resources" and "View stack events".
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ci.local.aws_apis.cloudformation.lookups import Lookups, Standing, scope
from ci.local.aws_apis.cloudformation.making import Making
from ci.local.aws_apis.cloudformation.order import Wish, wishes
from ci.local.aws_apis.cloudformation.outputs import evaluated, judge_exports
from ci.local.aws_apis.cloudformation.policy import denied
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources.kind import Failed
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.wanted import Difference, Wanted, difference, wanted

_BY_USER = "User Initiated"


def in_background(stack: Stack, work: Callable[[], None]) -> None:
    """Starts ``work``, whose status is already told. What it did not foresee ends the stack's
    operation as failed, and stands in the log."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            word = stack.status.removesuffix("_IN_PROGRESS")
            stack.told(f"{word}_FAILED", f"Internal Failure: {error!r}")

    threading.Thread(target=run, name=f"stack {stack.name}", daemon=True).start()


@dataclass(frozen=True)
class _Step:
    """Something done in an update, to be undone where it fails.

    ``before`` None: the resource was added. ``after`` is what was wanted, ``made`` the result,
    None where that failed.
    """

    before: Resource | None
    after: Wanted
    made: Resource | None
    replaced: bool = False


class _Stop(Exception):
    """The operation cannot go on; the reason has been told where it belongs."""


class Execution:
    """One operation on one stack."""

    def __init__(self, store: Store, stack: Stack, request: Request) -> None:
        self._store = store
        self._stack = stack
        self._request = request
        self._making = Making(store, stack, request)
        self._steps: list[_Step] = []

    def create(self) -> None:
        """From nothing, or from REVIEW_IN_PROGRESS."""
        stack = self._stack
        try:
            self._apply()
        except _Stop as reason:
            self._failed_create(str(reason))
            return
        stack.told("CREATE_COMPLETE")

    def _failed_create(self, reason: str) -> None:
        stack = self._stack
        if stack.on_failure == "DO_NOTHING":
            stack.told("CREATE_FAILED", reason)
            return
        if stack.on_failure == "DELETE":
            stack.told("DELETE_IN_PROGRESS", f"{reason} Delete requested by user.")
            self.delete()
            return
        stack.told("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
        failed = self._delete_all(created=True)
        stack.outputs, stack.imports = (), frozenset()
        if failed:
            stack.told("ROLLBACK_FAILED", _failed("delete", failed))
        else:
            stack.told("ROLLBACK_COMPLETE")

    def update(self) -> None:
        stack = self._stack
        before = (stack.request, stack.outputs, stack.imports, dict(stack.resources))
        try:
            self._judge_removals()
            self._apply()
        except _Stop as reason:
            stack.told("UPDATE_ROLLBACK_IN_PROGRESS", str(reason))
            stack.request, stack.outputs, stack.imports = before[:3]
            self._roll_back()
            return
        stack.updated = datetime.now(UTC)
        stack.told("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up()
        stack.told("UPDATE_COMPLETE")

    def delete(self, retained: Iterable[str] = ()) -> None:
        stack = self._stack
        for name in retained:
            if resource := stack.resources.pop(name, None):
                self._making.skip(resource)
        failed = self._delete_all()
        if failed:
            stack.told("DELETE_FAILED", _failed("delete", failed))
            return
        stack.outputs, stack.imports = (), frozenset()
        stack.change_sets.clear()
        stack.deleted = datetime.now(UTC)
        stack.told("DELETE_COMPLETE")

    def _apply(self) -> None:
        """Makes the stack what the request says. Raises _Stop."""
        stack, lookups = self._stack, Lookups(self._store)
        standing = Standing(stack.resources)
        try:
            meaning = scope(self._store, stack, self._request, standing, lookups)
            order = wishes(self._request.template.plain, meaning.conditions)
        except Refused as error:
            raise _Stop(str(error)) from error
        for wish in order:
            try:
                after = wanted(wish, meaning, self._request.tags)
            except Refused as error:
                self._unresolved(wish, str(error))
                raise _Stop(_failed(self._word(wish).lower(), [wish.logical_id])) from error
            self._make(after)
        asked = {wish.logical_id for wish in order}
        try:
            outputs = tuple(evaluated(meaning).values())
            with self._store.lock:
                judge_exports(self._store, stack, outputs)
                stack.outputs, stack.imports = outputs, frozenset(lookups.imports)
        except Refused as error:
            raise _Stop(str(error)) from error
        with stack.lock:
            for name in [name for name in stack.resources if name not in asked]:
                stack.leftovers.append(stack.resources.pop(name))
            stack.request = self._request

    def _word(self, wish: Wish) -> str:
        return "UPDATE" if wish.logical_id in self._stack.resources else "CREATE"

    def _unresolved(self, wish: Wish, reason: str) -> None:
        before = self._stack.resources.get(wish.logical_id)
        now = datetime.now(UTC)
        blank = before or Resource(
            wish.logical_id, wish.type, "", {}, {}, {}, "Delete", "Delete", None, wish.needs, "",
            "", now,
        )  # fmt: skip
        self._making.refuse(blank, self._word(wish), reason)

    def _make(self, after: Wanted) -> None:
        """One resource of the request. Raises _Stop."""
        stack, name = self._stack, after.wish.logical_id
        before = stack.resources.get(name)
        if before is None:
            self._step(None, after, lambda: self._making.create(after))
            return
        differs = difference(before, after)
        if not differs.touches:
            if differs or before.needs != after.wish.needs:
                stack.resources[name] = self._making.adopt(before, after)
            return
        replaces = bool(differs.replacing)
        self._judge_policy("Replace" if replaces else "Modify", before)
        if replaces:
            self._judge_name(before, after, differs)
            self._step(
                before, after, lambda: self._making.create(after, before.physical_id), replaced=True
            )
            stack.leftovers.append(before)
        else:
            self._step(before, after, lambda: self._making.update(before, after))

    def _step(
        self,
        before: Resource | None,
        after: Wanted,
        work: Callable[[], Resource],
        *,
        replaced: bool = False,
    ) -> None:
        name = after.wish.logical_id
        try:
            made = work()
        except Failed as error:
            self._steps.append(_Step(before, after, None, replaced))
            if before is None:
                with self._stack.lock:
                    blank = self._making.blank(after)
                    self._stack.resources[name] = _with(blank, "CREATE_FAILED", str(error))
            raise _Stop(_failed("update" if before else "create", [name])) from error
        self._steps.append(_Step(before, after, made, replaced))
        with self._stack.lock:
            self._stack.resources[name] = made

    def _judge_policy(self, action: str, before: Resource) -> None:
        why = denied(self._stack.policy, action, before.logical_id, before.type)
        if why:
            self._making.refuse(before, "UPDATE", why)
            raise _Stop(_failed("update", [before.logical_id]))

    def _judge_removals(self) -> None:
        """What a stack policy says of deletions, before anything is done. Raises _Stop."""
        stack = self._stack
        kept = self._request.template.resources
        for name, resource in stack.resources.items():
            if name not in kept:
                self._judge_policy("Delete", resource)

    def _judge_name(self, before: Resource, after: Wanted, differs: Difference) -> None:
        naming = after.kind.naming
        if naming and naming in after.properties and naming not in differs.changed:
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires "
                f"replacing. Rename {before.physical_id} and update the stack again."
            )
            self._making.refuse(before, "UPDATE", reason)
            raise _Stop(_failed("update", [before.logical_id]))

    def _roll_back(self) -> None:
        """What was done is undone, the last first."""
        stack = self._stack
        failed: list[str] = []
        unwanted: list[Resource] = []
        for step in reversed(self._steps):
            name = step.after.wish.logical_id
            with stack.lock:
                if step.before is None:
                    stack.resources.pop(name, None)
                else:
                    stack.resources[name] = step.before
            if step.made and (step.before is None or step.replaced):
                unwanted.append(step.made)
            elif step.before and not step.replaced:
                try:
                    self._making.restore(step.before, step.made or step.after)
                except Failed:
                    failed.append(name)
        stack.leftovers = []
        if failed:
            stack.told("UPDATE_ROLLBACK_FAILED", _failed("update", failed))
            return
        stack.told("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        for resource in unwanted:
            self._delete_or_leave(resource)
        stack.told("UPDATE_ROLLBACK_COMPLETE")

    def _clean_up(self) -> None:
        """Deletes what was replaced or removed. What cannot be deleted is left behind, as AWS
        does: the update itself succeeded."""
        stack = self._stack
        gone, stack.leftovers = stack.leftovers, []
        for resource in _dependents_first(gone):
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
            return

    def _delete_all(self, *, created: bool = False) -> list[str]:
        """Deletes every resource, dependents first; ``created`` where a creation is undone.

        The logical ids of those that could not be deleted; what they need stays, too.
        """
        stack = self._stack
        failed: list[str] = []
        needed: set[str] = set()
        for resource in _dependents_first(list(stack.resources.values())):
            name = resource.logical_id
            if name in needed:
                needed |= resource.needs
                continue
            if resource.physical_id:
                if self._retained(resource, created=created):
                    self._making.skip(resource)
                else:
                    try:
                        self._making.delete(resource)
                    except Failed:
                        failed.append(name)
                        needed |= resource.needs
                        continue
            with stack.lock:
                stack.resources.pop(name, None)
        return failed

    def _retained(self, resource: Resource, *, created: bool) -> bool:
        if created and self._request.retain_except_on_create:
            return False
        policy = resource.deletion
        return policy == "Retain" or (policy == "RetainExceptOnCreate" and not created)


def _dependents_first(resources: list[Resource]) -> list[Resource]:
    found: list[Resource] = []
    waiting = list(resources)
    while waiting:
        needed = {name for each in waiting for name in each.needs}
        ready = [each for each in waiting if each.logical_id not in needed]
        # Records of different updates may name each other: the newest first, then.
        ready = ready or waiting[-1:]
        found += reversed(ready)
        waiting = [each for each in waiting if each not in ready]
    return found


def _with(resource: Resource, status: str, reason: str) -> Resource:
    return replace(resource, status=status, reason=reason)


def _failed(word: str, names: list[str]) -> str:
    return f"The following resource(s) failed to {word}: [{', '.join(names)}]. "
