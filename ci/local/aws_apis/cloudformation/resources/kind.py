"""What a resource type is to the engine, and what its functions work with."""

from __future__ import annotations

import contextlib
import random
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ci.local.aws_apis.cloudformation.resources.shapes import shaped


class Failed(Exception):
    """A resource cannot be made, changed or deleted; the message is the event's reason."""


@dataclass(frozen=True)
class Product:
    """A resource that was made: what ``Ref`` gives, and what ``Fn::GetAtt`` can give."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """One resource to be made, changed or deleted.

    ``properties`` are resolved and without tags; ``tags`` are its own and its stack's.
    ``physical_id``, ``attributes``, ``before`` and ``tags_before`` are what it is so far: blank for
    one that is to be made. ``role`` and ``capabilities`` are the stack's.
    """

    clients: Callable[[str], Any]
    account: str
    region: str
    partition: str
    stack: str
    role: str
    capabilities: tuple[str, ...]
    logical_id: str
    properties: Mapping[str, Any]
    tags: Mapping[str, str]
    physical_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    tags_before: Mapping[str, str] = field(default_factory=dict)
    begun: list[Product] = field(default_factory=list)

    def begin(self, product: Product) -> Product:
        """Notes that the resource is there, before more is done to it: if that fails, what is
        there is deleted again."""
        self.begun.append(product)
        return product

    def call(self, service: str, method: str, **arguments: Any) -> dict[str, Any]:
        """One call of a service's API, arguments in the types that it takes.

        Raises botocore's ClientError.
        """
        client = self.clients(service)
        answer: dict[str, Any] = getattr(client, method)(**shaped(client, method, arguments))
        return answer

    def given(self, *names: str, **renamed: str) -> dict[str, Any]:
        """Those of its properties that it has; ``renamed`` as ``API's name=property``."""
        pairs = {name: name for name in names} | renamed
        return {
            api: self.properties[name] for api, name in pairs.items() if name in self.properties
        }

    def changed(self, *names: str) -> bool:
        """Whether any of these properties differs from what it was."""
        return any(self.properties.get(name) != self.before.get(name) for name in names)

    def name(self, longest: int = 255, suffix: str = "") -> str:
        """A name of CloudFormation's choice: stack, logical id and 12 random characters."""
        letters = string.ascii_uppercase + string.digits
        tail = "".join(random.choices(letters, k=12))  # noqa: S311 - no secret
        room = longest - len(tail) - len(suffix) - 2
        stack = self.stack[: max(room - len(self.logical_id), room // 2)]
        return f"{stack}-{self.logical_id[: room - len(stack)]}-{tail}{suffix}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @contextlib.contextmanager
    def absent(self, service: str, *codes: str) -> Iterator[None]:
        """What is gone already needs no deletion: these error codes pass."""
        try:
            yield
        except self.clients(service).exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in codes:
                raise


@dataclass(frozen=True)
class Kind:
    """A resource type.

    ``honoured`` are the properties that its functions pass on, ``ignored`` those that do nothing
    here, with the reason, ``unmade`` those that AWS has and that are refused here. A property that
    is none of them AWS would refuse.
    ``replaced`` are the properties whose change makes a new resource (a dot leads inside).
    ``update`` None: nothing can be changed in place. ``naming`` is the property that names it.
    ``tags``: how the type writes its ``Tags``, blank where it has none. ``capability`` is what a
    caller has to acknowledge.
    """

    type: str
    create: Callable[[Work], Product]
    delete: Callable[[Work], None]
    honoured: frozenset[str]
    update: Callable[[Work], Product] | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)
    unmade: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    replaced: frozenset[str] = frozenset()
    attributes: tuple[str, ...] = ()
    naming: str = ""
    tags: Literal["", "list", "map"] = ""
    capability: str = ""

    def judge(self, properties: Mapping[str, Any]) -> None:
        """Refuses properties that the type does not have, and a lack of those that it needs."""
        if unmade := sorted(properties.keys() & self.unmade):
            raise Failed(f"Property {unmade[0]} of {self.type} is not made by the local cloud")
        known = self.honoured | self.ignored.keys()
        if extra := sorted(properties.keys() - known):
            raise Failed(f"Encountered unsupported property {extra[0]}")
        for name in self.required:
            if name not in properties:
                raise Failed(f"Property {name} cannot be empty.")

    def has_attribute(self, name: str) -> bool:
        return any(
            name.startswith(each[:-1]) if each.endswith("*") else name == each
            for each in self.attributes
        )
