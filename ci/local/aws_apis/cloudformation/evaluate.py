"""What an expression of a template gives.

Source: AWS CloudFormation Template Reference, "Pseudo parameters reference"; AWS CloudFormation
User Guide, "Get values stored in other services using dynamic references".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.intrinsics import CONDITIONS, FUNCTIONS
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.values import NOTHING, Unknown

_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]+)\}\}")


class Outside(Protocol):
    """What lies outside of a template: other stacks, other services."""

    def export(self, name: str) -> str:
        """The value of an export. Raises Refused where there is none."""
        raise NotImplementedError

    def dynamic(self, service: str, key: str) -> str:
        """The value of a dynamic reference. Raises Refused."""
        raise NotImplementedError

    def zones(self, region: str) -> list[str]:
        """The Availability Zones of a region; the own one where it is blank."""
        raise NotImplementedError


class Made(Protocol):
    """What the resources of a stack are known to be."""

    def ref(self, name: str) -> Any:
        """What ``Ref`` of a resource gives."""
        raise NotImplementedError

    def attribute(self, name: str, attribute: str) -> Any:
        """What ``Fn::GetAtt`` gives. Raises Refused for an attribute that there is not."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scope:
    """What a template's expressions mean.

    ``values`` are those of parameters and pseudo parameters. ``made`` None: no resource may be
    named here, as in conditions and rules.
    """

    document: Mapping[str, Any]
    values: Mapping[str, Any]
    outside: Outside
    made: Made | None = None
    conditions: Mapping[str, bool] = field(default_factory=dict)

    def value(self, node: Any) -> Any:
        """What a node gives; without what is AWS::NoValue. Raises Refused."""
        if isinstance(node, list):
            return [each for item in node if (each := self.value(item)) is not NOTHING]
        if isinstance(node, str):
            return self._resolved(node)
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if function := FUNCTIONS.get(name):
                return function(self, argument)
            if str(name).startswith("Fn::"):
                raise Refused(f"Template error: Unrecognized intrinsic function: {name}")
        return {
            str(key): each
            for key, item in node.items()
            if (each := self.value(item)) is not NOTHING
        }

    def text(self, node: Any, where: str) -> str | Unknown:
        """What a node gives, which has to be text."""
        found = self.value(node)
        if isinstance(found, Unknown):
            return found
        if found is NOTHING or isinstance(found, dict | list | None):
            raise Refused(f"Template error: {where} does not resolve to a string")
        return as_text(found)

    def holds(self, condition: Any) -> bool:
        """Whether a condition is true. Raises Refused."""
        if isinstance(condition, dict) and len(condition) == 1:
            [(name, argument)] = condition.items()
            if function := CONDITIONS.get(name):
                return function(self, argument)
        raise Refused("Template error: a condition is none of CloudFormation's condition functions")

    def named(self, name: str) -> bool:
        """Whether the condition of a name is true."""
        if name not in self.conditions:
            raise Refused(f"Template format error: Unresolved condition dependency {name}")
        return self.conditions[name]

    def _resolved(self, text: str) -> str:
        if "{{resolve:" not in text:
            return text
        return _DYNAMIC.sub(lambda match: self.outside.dynamic(*match.groups()), text)


def conditions(
    document: Mapping[str, Any], values: Mapping[str, Any], outside: Outside
) -> dict[str, bool]:
    """Each condition of a template, and whether it is true. Raises Refused."""
    declared = document.get("Conditions") or {}
    found: dict[str, bool] = {}

    def decide(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            listed = ", ".join(above)
            raise Refused(
                f"Template format error: Circular dependency between conditions: [{listed}]"
            )
        if name in found:
            return
        for needed in _needed(declared[name]):
            decide(needed, (*above, name))
        found[name] = Scope(document, values, outside, None, found).holds(declared[name])

    for name in declared:
        decide(name, ())
    return found


def _needed(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for each in node for name in _needed(each)]
    if not isinstance(node, dict):
        return []
    if isinstance(name := node.get("Condition"), str):
        return [name]
    return [name for each in node.values() for name in _needed(each)]
