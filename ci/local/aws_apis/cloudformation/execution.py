"""Stacks made, changed, rolled back and deleted, in a thread of their own.

Resources come one after the other in the order of their dependencies. Source: AWS CloudFormation
User Guide, "Stack failure options", "Update behaviors of stack resources" and "View stack events".
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from ci.local.aws_apis.cloudformation.ending import Ending, Step, told_failed
from ci.local.aws_apis.cloudformation.evaluate import Scope
from ci.local.aws_apis.cloudformation.lookups import Lookups, Standing, scope
from ci.local.aws_apis.cloudformation.making import Making, NotMade
from ci.local.aws_apis.cloudformation.order import Wish, wishes
from ci.local.aws_apis.cloudformation.outputs import evaluated, judge_exports
from ci.local.aws_apis.cloudformation.policy import denied
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources.kind import Failed
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.wanted import Difference, Wanted, difference, wanted


def in_background(stack: Stack, work: Callable[[], None]) -> None:
    """Starts ``work``, whose status is already told. What it did not foresee ends the stack's
    operation as failed, and stands in the log."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            word = next(each for each in _WORDS if each in stack.status)
            stack.told(f"{word}_FAILED", f"Internal Failure: {error!r}")

    threading.Thread(target=run, name=f"stack {stack.name}", daemon=True).start()


_WORDS = ("UPDATE_ROLLBACK", "ROLLBACK", "UPDATE", "CREATE", "DELETE")


class _Stop(Exception):
    """The operation cannot go on; the reason is the stack's."""


class Execution:
    """One operation on one stack."""

    def __init__(self, store: Store, stack: Stack, request: Request) -> None:
        self._store = store
        self._stack = stack
        self._request = request
        self._making = Making(store, stack, request)
        self._ending = Ending(stack, request, self._making)
        self._steps: list[Step] = []

    def create(self) -> None:
        """From nothing, or from REVIEW_IN_PROGRESS."""
        stack = self._stack
        try:
            self._apply()
        except _Stop as reason:
            self._undo_creation(str(reason))
            return
        stack.told("CREATE_COMPLETE")

    def _undo_creation(self, reason: str) -> None:
        stack = self._stack
        if stack.on_failure == "DO_NOTHING":
            stack.told("CREATE_FAILED", reason)
        elif stack.on_failure == "DELETE":
            stack.told("DELETE_IN_PROGRESS", f"{reason}Delete requested by user.")
            self.delete()
        else:
            stack.told("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
            if failed := self._ending.delete_all(created=True):
                stack.told("ROLLBACK_FAILED", told_failed("delete", failed))
            else:
                stack.told("ROLLBACK_COMPLETE")

    def update(self) -> None:
        stack = self._stack
        try:
            self._apply()
        except _Stop as reason:
            stack.told("UPDATE_ROLLBACK_IN_PROGRESS", str(reason))
            self._ending.roll_back(self._steps)
            return
        stack.updated = datetime.now(UTC)
        stack.told("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._ending.clean_up()
        stack.told("UPDATE_COMPLETE")

    def delete(self, retained: Iterable[str] = (), *, forced: bool = False) -> None:
        stack = self._stack
        for name in retained:
            if resource := stack.resources.pop(name, None):
                self._making.skip(resource)
        if failed := self._ending.delete_all(forced=forced):
            stack.told("DELETE_FAILED", told_failed("delete", failed))
            return
        with stack.lock:
            stack.outputs, stack.imports = (), frozenset()
            stack.change_sets.clear()
            stack.deleted = datetime.now(UTC)
            stack.told("DELETE_COMPLETE")

    def _apply(self) -> None:
        """Makes the stack what the request says. Raises _Stop."""
        stack, lookups = self._stack, Lookups(self._store)
        try:
            meaning = scope(self._store, stack, self._request, Standing(stack.resources), lookups)
            order = wishes(self._request.template.plain, meaning.conditions)
        except Refused as error:
            raise _Stop(f"{error} ") from error
        asked = {wish.logical_id for wish in order}
        for name, resource in list(stack.resources.items()):
            if name not in asked:
                self._judge_policy("Delete", resource)
        for wish in order:
            self._make(self._resolved(wish, meaning))
        self._finish(meaning, lookups, asked)

    def _resolved(self, wish: Wish, meaning: Scope) -> Wanted:
        try:
            return wanted(wish, meaning, self._request.tags)
        except Refused as error:
            before = self._stack.resources.get(wish.logical_id)
            word = "UPDATE" if before else "CREATE"
            blank = before or Resource(
                wish.logical_id, wish.type, "", {}, {}, {}, "Delete", "Delete", None, wish.needs,
                "", "", datetime.now(UTC),
            )  # fmt: skip
            self._making.refuse(blank, word, str(error))
            raise _Stop(told_failed(word.lower(), [wish.logical_id])) from error

    def _finish(self, meaning: Scope, lookups: Lookups, asked: set[str]) -> None:
        """The stack as it is from now on: outputs, imports, what it has no longer."""
        stack = self._stack
        try:
            outputs = tuple(evaluated(meaning).values())
            with self._store.lock:
                judge_exports(self._store, stack, outputs)
                stack.outputs, stack.imports = outputs, frozenset(lookups.imports)
        except Refused as error:
            raise _Stop(f"{error} ") from error
        with stack.lock:
            for name in [name for name in stack.resources if name not in asked]:
                stack.leftovers.append(stack.resources.pop(name))
            stack.request = self._request

    def _make(self, after: Wanted) -> None:
        """One resource of the request. Raises _Stop."""
        stack, name = self._stack, after.wish.logical_id
        before = stack.resources.get(name)
        if before is None:
            self._step(None, after, lambda: self._making.create(after))
            return
        differs = difference(before, after)
        if not differs.touches:
            with stack.lock:
                stack.resources[name] = replace(
                    before,
                    deletion=after.deletion,
                    replacement=after.replacement,
                    metadata=after.metadata,
                    needs=after.wish.needs,
                )
        elif differs.replacing:
            self._judge_policy("Replace", before)
            self._judge_name(before, after, differs)
            self._step(before, after, lambda: self._making.create(after, before), replaced=True)
            stack.leftovers.append(before)
        else:
            self._judge_policy("Modify", before)
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
            part = error.resource if isinstance(error, NotMade) else None
            self._steps.append(Step(before, after, part, replaced))
            if part and before is None:
                with self._stack.lock:
                    self._stack.resources[name] = part
            raise _Stop(told_failed("update" if before else "create", [name])) from error
        self._steps.append(Step(before, after, made, replaced))
        with self._stack.lock:
            self._stack.resources[name] = made

    def _judge_policy(self, action: str, before: Resource) -> None:
        why = denied(self._stack.policy, action, before.logical_id, before.type)
        if why:
            self._making.refuse(before, "UPDATE", why)
            raise _Stop(told_failed("update", [before.logical_id]))

    def _judge_name(self, before: Resource, after: Wanted, differs: Difference) -> None:
        naming = after.kind.naming
        if naming and naming in after.properties and naming not in differs.changed:
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires "
                f"replacing. Rename {before.physical_id} and update the stack again."
            )
            self._making.refuse(before, "UPDATE", reason)
            raise _Stop(told_failed("update", [before.logical_id]))
