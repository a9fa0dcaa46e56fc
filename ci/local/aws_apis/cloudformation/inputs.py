"""Values of a stack's parameters: given, kept from before, by default, looked up in SSM.

Source: AWS CloudFormation User Guide, "Parameters section syntax reference".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ci.cfn_parameters import as_text, broken
from ci.local.aws_apis.cloudformation.refusals import Refused

_SSM = "AWS::SSM::Parameter::Value<"


@dataclass(frozen=True)
class Input:
    """A parameter's value. ``resolved`` is what an SSM parameter holds, else blank."""

    value: str
    kind: str
    resolved: str = ""
    secret: bool = False

    @property
    def meaning(self) -> str | list[str]:
        """What ``Ref`` of it gives."""
        kind, text = self.kind, self.value
        if kind.startswith(_SSM):
            kind, text = kind.removeprefix(_SSM).removesuffix(">"), self.resolved
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            return [each.strip() for each in text.split(",")]
        return text


def values(
    declared: Mapping[str, Mapping[str, Any]],
    given: Iterable[Mapping[str, Any]],
    before: Mapping[str, Input] | None,
    looked_up: Callable[[str], str],
) -> dict[str, Input]:
    """The value of each declared parameter.

    ``given`` is the API's list of ``ParameterKey``, ``ParameterValue``, ``UsePreviousValue``;
    ``before`` the stack's values, None for a new stack; ``looked_up`` the value of an SSM
    parameter. Raises Refused.
    """
    asked = {str(each["ParameterKey"]): each for each in given}
    if extra := [name for name in asked if name not in declared]:
        raise Refused(f"Parameters: [{', '.join(extra)}] do not exist in the template")
    found: dict[str, str] = {}
    missing = []
    for name, about in declared.items():
        each = asked.get(name, {})
        if each.get("UsePreviousValue") in (True, "true"):
            if before is None or name not in before:
                raise Refused(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as "
                    "true for a parameter key not in the previous template"
                )
            found[name] = before[name].value
        elif "ParameterValue" in each:
            found[name] = str(each["ParameterValue"])
        elif "Default" in about:
            found[name] = as_text(about["Default"])
        else:
            missing.append(name)
    if missing:
        raise Refused(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _input(name, value, declared[name], looked_up) for name, value in found.items()}


def _input(
    name: str, value: str, about: Mapping[str, Any], looked_up: Callable[[str], str]
) -> Input:
    kind = str(about.get("Type", "String"))
    secret = as_text(about.get("NoEcho", False)) == "true"
    _judge(name, value, about)
    resolved = looked_up(value) if kind.startswith(_SSM) else ""
    return Input(value, kind, resolved, secret)


def _judge(name: str, value: str, about: Mapping[str, Any]) -> None:
    """Refuses what the parameter's constraints do not allow."""
    constraint = broken(value, about)
    if not constraint:
        return
    if constraint != "Type" and (told := about.get("ConstraintDescription")):
        raise Refused(f"Parameter {name} failed to satisfy constraint: {told}")
    raise Refused(f"Parameter '{name}' {_TOLD[constraint].format(about.get(constraint))}")


_TOLD = {
    "AllowedPattern": "must match pattern {}",
    "AllowedValues": "must be one of AllowedValues",
    "MaxLength": "must contain at most {} characters",
    "MaxValue": "must be a number not greater than {}",
    "MinLength": "must contain at least {} characters",
    "MinValue": "must be a number not less than {}",
    "Type": "must be a number",
}
