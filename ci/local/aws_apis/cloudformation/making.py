"""One resource at a time: made, changed or deleted by its service's API, and told as events."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ci import aws
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Product, Work
from ci.local.aws_apis.cloudformation.resources.shapes import Misfit
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.wanted import Wanted

_REPLACING = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)


class NotMade(Failed):
    """A resource could not be made; ``resource`` has a physical id where part of it is there."""

    def __init__(self, reason: str, resource: Resource) -> None:
        super().__init__(reason)
        self.resource = resource


class Making:
    """Makes the resources of one stack, for one request."""

    def __init__(self, store: Store, stack: Stack, request: Request) -> None:
        self._store = store
        self._stack = stack
        self._request = request

    def create(self, after: Wanted, replaced: Resource | None = None) -> Resource:
        """A new resource, in the place of ``replaced``. Raises NotMade."""
        blank = _resource(after, replaced.physical_id if replaced else "", {})
        word, reason = ("UPDATE", _REPLACING) if replaced else ("CREATE", "")
        told = self._tell(blank, f"{word}_IN_PROGRESS", reason)
        if replaced is None:
            with self._stack.lock:
                self._stack.resources[blank.logical_id] = told
        work = self._work(after)

        def make() -> Product:
            after.kind.judge(after.properties)
            return after.kind.create(work)

        try:
            return self._done(blank, word, make)
        except Failed as error:
            part = work.begun[-1] if work.begun else Product("")
            raise NotMade(str(error), _with(blank, part, f"{word}_FAILED", str(error))) from error

    def update(self, before: Resource, after: Wanted) -> Resource:
        """The resource, changed in place. Raises Failed."""
        changed = _resource(after, before.physical_id, before.attributes)
        self._tell(changed, "UPDATE_IN_PROGRESS")
        work = self._work(after, before)

        def change() -> Product:
            after.kind.judge(after.properties)
            assert after.kind.update  # noqa: S101 - else it would be replaced
            return after.kind.update(work)

        return self._done(changed, "UPDATE", change)

    def restore(self, before: Resource, attempted: Wanted | Resource) -> None:
        """A resource as it was before an update of it was attempted. Raises Failed."""
        self._tell(before, "UPDATE_IN_PROGRESS")
        work = replace(self._of(before), before=attempted.properties, tags_before=attempted.tags)

        def change() -> Product:
            update = KINDS[before.type].update
            assert update  # noqa: S101 - else it would have been replaced
            return update(work)

        self._done(before, "UPDATE", change)

    def delete(self, resource: Resource) -> None:
        """Raises Failed where the service refuses."""
        self._tell(resource, "DELETE_IN_PROGRESS")
        work = self._of(resource)
        self._attempt(resource, "DELETE", lambda: KINDS[resource.type].delete(work))
        self._tell(resource, "DELETE_COMPLETE")

    def skip(self, resource: Resource) -> None:
        """It is no longer the stack's, and stays."""
        self._tell(resource, "DELETE_SKIPPED")

    def refuse(self, resource: Resource, word: str, reason: str) -> None:
        """Tells a failure that is no service's."""
        self._tell(resource, f"{word}_FAILED", reason)

    def _done(self, resource: Resource, word: str, work: Callable[[], Product]) -> Resource:
        product: Product = self._attempt(resource, word, work)
        status = f"{word}_COMPLETE"
        done = _with(resource, product, status, "")
        self._tell(done, status)
        return done

    def _attempt(self, resource: Resource, word: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            reason = self._reason(error, resource.type)
            self._tell(resource, f"{word}_FAILED", reason)
            raise Failed(reason) from error

    @staticmethod
    def _reason(error: Exception, kind: str) -> str:
        """What AWS's events say when a service refuses."""
        if told := aws.refusal(error):
            code, message, status = told
            service = f" (Service: {kind.split('::')[1]}, Status Code: {status})" if status else ""
            said = f'Resource handler returned message: "{message}{service}"'
            return f"{said} (HandlerErrorCode: {code})"
        if isinstance(error, Failed | Misfit | Refused):
            return str(error)
        # Not foreseen: the stack must come to an end all the same, and the log has the rest.
        traceback.print_exception(error, file=sys.stderr)
        return f"Internal Failure: {error!r}"

    def _tell(self, resource: Resource, status: str, reason: str = "") -> Resource:
        told = replace(resource, status=status, reason=reason, changed=datetime.now(UTC))
        shown = json.dumps(dict(resource.properties), default=str)
        self._stack.told(status, reason, told, shown)
        with self._stack.lock:
            kept = self._stack.resources.get(resource.logical_id)
            if kept and kept.physical_id == resource.physical_id:
                self._stack.resources[resource.logical_id] = replace(
                    kept, status=status, reason=reason, changed=told.changed
                )
        return told

    def _of(self, resource: Resource) -> Work:
        """Work on a resource as it is."""
        return replace(
            self._blank(resource.logical_id, resource.properties, resource.tags),
            physical_id=resource.physical_id,
            attributes=resource.attributes,
            before=resource.properties,
            tags_before=resource.tags,
        )

    def _work(self, after: Wanted, before: Resource | None = None) -> Work:
        blank = self._blank(after.wish.logical_id, after.properties, after.tags)
        if before is None:
            return blank
        return replace(
            blank,
            physical_id=before.physical_id,
            attributes=before.attributes,
            before=before.properties,
            tags_before=before.tags,
        )

    def _blank(self, name: str, properties: Mapping[str, Any], tags: Mapping[str, str]) -> Work:
        cloud = self._store.cloud
        return Work(
            clients=self._store.client,
            account=cloud.account,
            region=cloud.region,
            partition=cloud.pseudo_parameters("")["AWS::Partition"],
            stack=self._stack.name,
            role=self._request.role,
            capabilities=self._request.capabilities,
            logical_id=name,
            properties=properties,
            tags=tags,
        )


def _resource(after: Wanted, physical: str, attributes: Mapping[str, Any]) -> Resource:
    return Resource(
        after.wish.logical_id,
        after.wish.type,
        physical,
        after.properties,
        attributes,
        after.tags,
        after.deletion,
        after.replacement,
        after.metadata,
        after.wish.needs,
        "",
        "",
        datetime.now(UTC),
    )


def _with(resource: Resource, product: Product, status: str, reason: str) -> Resource:
    return replace(
        resource,
        physical_id=product.physical_id,
        attributes=dict(product.attributes),
        status=status,
        reason=reason,
        changed=datetime.now(UTC),
    )
