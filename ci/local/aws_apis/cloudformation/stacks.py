"""Stacks, their resources, events and change sets, as the engine keeps them in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ci.cloud import Cloud
from ci.local.aws_apis.cloudformation.inputs import Input
from ci.local.aws_apis.cloudformation.refusals import no_stack
from ci.local.aws_apis.cloudformation.template import Template


@dataclass(frozen=True)
class Resource:
    """A resource as it was last made. ``properties`` are resolved, without tags of the stack.

    ``status`` and ``reason`` are those of its newest event.
    """

    logical_id: str
    type: str
    physical_id: str
    properties: Mapping[str, Any]
    attributes: Mapping[str, Any]
    tags: Mapping[str, str]
    deletion: str
    replacement: str
    metadata: Any
    needs: frozenset[str]
    """Logical ids of what has to be there before it."""
    status: str
    reason: str
    changed: datetime


@dataclass(frozen=True)
class Output:
    """An output of a stack; ``export`` is blank where it is not exported."""

    key: str
    value: str
    description: str
    export: str


@dataclass(frozen=True)
class Event:
    """One line of a stack's story. ``properties`` is JSON."""

    id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    properties: str
    when: datetime


@dataclass(frozen=True)
class Request:
    """What somebody wants a stack to be: the arguments of CreateChangeSet, CreateStack, …"""

    template: Template
    inputs: Mapping[str, Input]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()
    role: str = ""
    notifications: tuple[str, ...] = ()
    retain_except_on_create: bool = False
    """Whether a creation that is undone deletes what its template retains."""


@dataclass
class ChangeSet:
    """A change set; written under its stack's lock."""

    id: str
    name: str
    kind: str
    request: Request
    description: str
    created: datetime
    status: str = "CREATE_PENDING"
    reason: str = ""
    execution: str = "UNAVAILABLE"
    changes: tuple[Mapping[str, Any], ...] = ()
    on_failure: str = "ROLLBACK"
    looks_inside: bool = False
    """Whether it has change sets for the nested stacks that it changes."""
    parent: str = ""
    """The id of the change set of the stack that this one is nested in."""


@dataclass
class Stack:
    """A stack; written under its ``lock``, which nobody holds while calling an API."""

    id: str
    name: str
    created: datetime
    status: str
    request: Request
    reason: str = ""
    updated: datetime | None = None
    deleted: datetime | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    leftovers: list[Resource] = field(default_factory=list)
    """Replaced or removed resources that are still to be deleted."""
    outputs: tuple[Output, ...] = ()
    imports: frozenset[str] = frozenset()
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    executed: dict[str, ChangeSet] = field(default_factory=dict)
    """The newest of each name: not listed any more, and still told about."""
    policy: str = ""
    protected: bool = False
    on_failure: str = "ROLLBACK"
    operations: int = 0
    """How many have begun: a change set that was computed before one of them is obsolete."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def told(
        self,
        status: str,
        reason: str = "",
        resource: Resource | None = None,
        properties: str = "",
    ) -> None:
        """An event of the stack itself, or of one of its resources."""
        with self.lock:
            now = datetime.now(UTC)
            if self.events:
                now = max(now, self.events[-1].when)
            if resource is None:
                self.status, self.reason = status, reason
                about = (self.name, self.id, "AWS::CloudFormation::Stack")
            else:
                about = (resource.logical_id, resource.physical_id, resource.type)
            self.events.append(Event(str(uuid.uuid4()), *about, status, reason, properties, now))

    @property
    def alive(self) -> bool:
        return self.status != "DELETE_COMPLETE"

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class Store:
    """All stacks of a region."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._stacks: list[Stack] = []
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client of one of the cloud's services, made once: that takes longer than its calls."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.cloud.client(service)
            return self._clients[service]

    def __iter__(self) -> Iterator[Stack]:
        """Every stack that ever was, newest first."""
        with self._lock:
            return iter(self._stacks[::-1])

    def new(self, name: str, request: Request, status: str) -> Stack:
        """A new stack. Its name must be free; see ``reserve``."""
        now = datetime.now(UTC)
        stack = Stack(self.arn("stack", name), name, now, status, request)
        with self._lock:
            self._stacks.append(stack)
        return stack

    @property
    def lock(self) -> threading.RLock:
        """Held while a name is looked up and taken, and while exports are compared."""
        return self._lock

    def find(self, name_or_id: str) -> Stack | None:
        """The living stack of a name, or the stack of an id, deleted or not."""
        for stack in self:
            if stack.id == name_or_id or (stack.name == name_or_id and stack.alive):
                return stack
        return None

    def get(self, name_or_id: str) -> Stack:
        """The same. Raises Refused where there is none."""
        if found := self.find(name_or_id):
            return found
        raise no_stack(name_or_id)

    def arn(self, kind: str, name: str) -> str:
        partition = self.cloud.pseudo_parameters(name)["AWS::Partition"]
        where = f"{self.cloud.region}:{self.cloud.account}"
        return f"arn:{partition}:cloudformation:{where}:{kind}/{name}/{uuid.uuid4()}"

    def exports(self) -> dict[str, tuple[Stack, Output]]:
        """Export name → the stack that exports it, and the output."""
        return {
            output.export: (stack, output)
            for stack in self
            if stack.alive
            for output in stack.outputs
            if output.export
        }

    def importers(self, export: str) -> list[Stack]:
        """Stacks that import an export, oldest first."""
        return [each for each in list(self)[::-1] if each.alive and export in each.imports]
