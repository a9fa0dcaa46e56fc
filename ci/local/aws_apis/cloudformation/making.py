"""One resource at a time: made, changed or deleted by its service's API, and told as events."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Product, Work
from ci.local.aws_apis.cloudformation.resources.shapes import Misfit
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.wanted import Wanted

_REPLACING = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)


class Making:
    """Makes the resources of one stack, for one request."""

    def __init__(self, store: Store, stack: Stack, request: Request) -> None:
        self._store = store
        self._stack = stack
        self._request = request

    def create(self, after: Wanted, physical: str = "") -> Resource:
        """A new resource; where it replaces one, ``physical`` is the old. Raises Failed."""
        blank = self._resource(
            after, physical, {}, "CREATE_IN_PROGRESS" if not physical else "UPDATE_IN_PROGRESS"
        )
        word = "UPDATE" if physical else "CREATE"
        reason = ""
        if physical:
            reason = _REPLACING
        self._tell(blank, f"{word}_IN_PROGRESS", reason)
        return self._done(blank, word, lambda: self._create(after))

    def _create(self, after: Wanted) -> Product:
        after.kind.judge(after.properties)
        return after.kind.create(self._work(after))

    def update(self, before: Resource, after: Wanted) -> Resource:
        """The resource, changed in place. Raises Failed."""
        kind = after.kind
        changed = self._resource(after, before.physical_id, before.attributes, "UPDATE_IN_PROGRESS")
        self._tell(changed, "UPDATE_IN_PROGRESS")

        def work() -> Product:
            kind.judge(after.properties)
            assert kind.update  # noqa: S101 - else it would be replaced
            return kind.update(self._work(after, before))

        return self._done(changed, "UPDATE", work)

    def restore(self, before: Resource, attempted: Wanted | Resource) -> None:
        """A resource as it was before an update of it was attempted. Raises Failed."""
        kind = KINDS[before.type]
        self._tell(before, "UPDATE_IN_PROGRESS")

        def work() -> Product:
            assert kind.update  # noqa: S101 - else it would have been replaced
            return kind.update(
                self._bare_work(
                    before.logical_id,
                    before.properties,
                    before.tags,
                    before.physical_id,
                    before.attributes,
                    attempted.properties,
                    attempted.tags,
                )
            )

        self._done(before, "UPDATE", work)

    def delete(self, resource: Resource) -> None:
        """Raises Failed where the service refuses."""
        self._tell(resource, "DELETE_IN_PROGRESS")
        work = self._bare_work(
            resource.logical_id, resource.properties, resource.tags, resource.physical_id,
            resource.attributes, resource.properties, resource.tags,
        )  # fmt: skip
        self._attempt(resource, "DELETE", lambda: KINDS[resource.type].delete(work))
        self._tell(resource, "DELETE_COMPLETE")

    def skip(self, resource: Resource) -> None:
        """It is no longer the stack's, and stays."""
        self._tell(resource, "DELETE_SKIPPED")

    def adopt(self, before: Resource, after: Wanted) -> Resource:
        """A resource of which only what the stack itself keeps has changed."""
        return replace(
            before,
            deletion=after.deletion,
            replacement=after.replacement,
            metadata=after.metadata,
            needs=after.wish.needs,
        )

    def refuse(self, resource: Resource, word: str, reason: str) -> Failed:
        """A failure that no service told."""
        self._tell(resource, f"{word}_FAILED", reason)
        return Failed(reason)

    def blank(self, after: Wanted) -> Resource:
        """A resource that is still to be made."""
        return self._resource(after, "", {}, "")

    def _done(self, resource: Resource, word: str, work: Callable[[], Product]) -> Resource:
        product = self._attempt(resource, word, work)
        done = replace(
            resource, physical_id=product.physical_id, attributes=dict(product.attributes)
        )
        return self._tell(done, f"{word}_COMPLETE")

    def _attempt(self, resource: Resource, word: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            reason = self._reason(error)
            self._tell(resource, f"{word}_FAILED", reason)
            raise Failed(reason) from error

    def _reason(self, error: Exception) -> str:
        """What AWS's events say when a service refuses."""
        client_error = self._store.client("sts").exceptions.ClientError
        if isinstance(error, client_error):
            answer = error.response
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            message = answer["Error"].get("Message", "")
            code = answer["Error"].get("Code", "")
            return (
                f'Resource handler returned message: "{message} (Service: {error.operation_name}, '
                f'Status Code: {status})" (HandlerErrorCode: {code})'
            )
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
            if resource.logical_id in self._stack.resources:
                kept = self._stack.resources[resource.logical_id]
                if kept.physical_id == resource.physical_id:
                    self._stack.resources[resource.logical_id] = replace(
                        kept, status=status, reason=reason, changed=told.changed
                    )
        return told

    def _resource(
        self, after: Wanted, physical: str, attributes: Mapping[str, Any], status: str
    ) -> Resource:
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
            status,
            "",
            datetime.now(UTC),
        )

    def _work(self, after: Wanted, before: Resource | None = None) -> Work:
        if before is None:
            return self._bare_work(after.wish.logical_id, after.properties, after.tags)
        return self._bare_work(
            after.wish.logical_id, after.properties, after.tags, before.physical_id,
            before.attributes, before.properties, before.tags,
        )  # fmt: skip

    def _bare_work(
        self,
        name: str,
        properties: Mapping[str, Any],
        tags: Mapping[str, str],
        physical_id: str = "",
        attributes: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        tags_before: Mapping[str, str] | None = None,
    ) -> Work:
        cloud = self._store.cloud
        return Work(
            clients=self._store.client,
            account=cloud.account,
            region=cloud.region,
            partition=cloud.pseudo_parameters("")["AWS::Partition"],
            stack=self._stack.name,
            stack_id=self._stack.id,
            role=self._request.role,
            logical_id=name,
            properties=properties,
            tags=tags,
            physical_id=physical_id,
            attributes=attributes or {},
            before=before or {},
            tags_before=tags_before or {},
            capabilities=self._request.capabilities,
        )
