"""What an expression of a template gives, as far as it is known before the deployment.

Source: AWS CloudFormation Template Reference, intrinsic functions and pseudo parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ci.cfn_parameters import as_text
from ci.package.places import at

_VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
NOTHING = {"Ref": "AWS::NoValue"}


class Unknown(Exception):
    """Only the deployment will tell; the message says what."""


@dataclass(frozen=True)
class Scope:
    """What a template's expressions mean: ``values`` of its parameters and pseudo parameters."""

    values: Mapping[str, str]
    document: Mapping[str, Any]

    def text(self, value: Any) -> str:
        """The text of a scalar, ``Ref``, ``Fn::Sub``, ``Fn::Join`` or ``Fn::FindInMap``.

        Raises Unknown.
        """
        if not isinstance(value, dict | list | None):
            return as_text(value)
        if isinstance(value, dict) and len(value) == 1:
            [(function, argument)] = value.items()
            if known := _FUNCTIONS.get(function):
                return known(self, argument)
            raise Unknown(function)
        raise Unknown("no expression")

    def holds(self, name: object) -> bool | None:
        """Whether a condition of the template is true; None when it is not known."""
        try:
            return self._true(at(self.document, ("Conditions", str(name))))
        except (Unknown, RecursionError):
            return None

    def _true(self, condition: Any) -> bool:
        if not isinstance(condition, dict) or len(condition) != 1:
            raise Unknown("no condition")
        [(function, argument)] = condition.items()
        if function == "Condition":
            return self._true(at(self.document, ("Conditions", str(argument))))
        if not isinstance(argument, list) or not argument:
            raise Unknown(function)
        if function == "Fn::Equals":
            return self.text(argument[0]) == self.text(argument[-1])
        if function == "Fn::Not":
            return not self._true(argument[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)([self._true(each) for each in argument])
        raise Unknown(function)


def _ref(scope: Scope, name: Any) -> str:
    if isinstance(name, str) and name in scope.values:
        return scope.values[name]
    raise Unknown(f"Ref {name}")


def _sub(scope: Scope, argument: Any) -> str:
    own: Mapping[str, Any] = {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
        argument, own = argument
    if not isinstance(argument, str):
        raise Unknown("Fn::Sub")
    inner = replace(scope, values={**scope.values, **_each(scope, own)})

    def filled(match: re.Match[str]) -> str:
        literal, name = match.groups()
        return f"${{{name}}}" if literal else _ref(inner, name.strip())

    return _VARIABLE.sub(filled, argument)


def _each(scope: Scope, own: Mapping[str, Any]) -> dict[str, str]:
    return {name: scope.text(value) for name, value in own.items()}


def _join(scope: Scope, argument: Any) -> str:
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], list):
        return as_text(argument[0]).join(scope.text(part) for part in argument[1])
    raise Unknown("Fn::Join")


def _find_in_map(scope: Scope, argument: Any) -> str:
    if isinstance(argument, list) and len(argument) == 3:
        keys = tuple(scope.text(key) for key in argument)
        found = at(scope.document, ("Mappings", *keys))
        if found is not None and not isinstance(found, dict | list):
            return as_text(found)
    raise Unknown("Fn::FindInMap")


_FUNCTIONS: Mapping[str, Callable[[Scope, Any], str]] = {
    "Ref": _ref,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::FindInMap": _find_in_map,
}
