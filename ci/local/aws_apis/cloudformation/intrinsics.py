"""The intrinsic functions, each as a function of a scope and its argument.

Source: AWS CloudFormation Template Reference, "Intrinsic function reference", "Condition
functions" and "Rule-specific intrinsic functions".
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.values import NOTHING, Unknown, normal, unknowns

if TYPE_CHECKING:
    from ci.local.aws_apis.cloudformation.evaluate import Scope

VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
"""A variable of ``Fn::Sub``; the first group is ``!`` where it is none but text."""


def _ref(scope: Scope, name: Any) -> Any:
    if name == "AWS::NoValue":
        return NOTHING
    if isinstance(name, str) and name in scope.values:
        return scope.values[name]
    if scope.made is None or not isinstance(name, str):
        raise Refused(f"Template error: {name} is no parameter, and resources cannot be named here")
    return scope.made.ref(name)


def _get_att(scope: Scope, argument: Any) -> Any:
    match argument:
        case str() if "." in argument:
            name, _, attribute = argument.partition(".")
        case [str(name), *rest] if rest:
            parts = [scope.text(each, "the attribute of Fn::GetAtt") for each in rest]
            attribute = ".".join(map(str, parts))
        case _:
            raise Refused(
                "Template error: every Fn::GetAtt object requires two non-empty parameters, "
                "the resource name and the resource attribute"
            )
    if scope.made is None:
        raise Refused(f"Template error: {name} cannot be named here")
    return scope.made.attribute(name, attribute)


def _sub(scope: Scope, argument: Any) -> Any:
    own: Mapping[str, Any] = {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
        argument, own = argument
    if not isinstance(argument, str):
        raise Refused(
            "Template error: One or more Fn::Sub intrinsic functions don't specify expected "
            "arguments. Specify a string as first argument, and an optional second argument to "
            "specify a mapping of values to replace in the string"
        )
    unknown: set[str] = set()

    def filled(match: re.Match[str]) -> str:
        literal, name = match.group(1), match.group(2).strip()
        if literal:
            return f"${{{name}}}"
        node: Any = {"Ref": name}
        if name in own:
            node = own[name]
        elif "." in name and not name.startswith("AWS::"):
            node = {"Fn::GetAtt": name}
        found = scope.text(node, f"variable {name} in Fn::Sub expression")
        if isinstance(found, Unknown):
            unknown.update(found.sources)
            return ""
        return found

    text = VARIABLE.sub(filled, argument)
    return Unknown(frozenset(unknown)) if unknown else scope.value(text)


def _join(scope: Scope, argument: Any) -> Any:
    if isinstance(argument, list) and len(argument) == 2:
        items = scope.value(argument[1])
        if isinstance(items, Unknown):
            return items
        if isinstance(items, list):
            return _together(items, lambda known: as_text(argument[0]).join(map(as_text, known)))
    raise Refused(
        "Template error: every Fn::Join object requires two parameters, (1) a string delimiter "
        "and (2) a list of strings to be joined or a function that returns a list of strings "
        "(such as Fn::GetAZs) to be joined."
    )


def _together(items: list[Any], made: Callable[[list[Any]], Any]) -> Any:
    unknown = [each for each in items if isinstance(each, Unknown)]
    if unknown:
        return Unknown(frozenset[str]().union(*(each.sources for each in unknown)))
    return made(items)


def _select(scope: Scope, argument: Any) -> Any:
    if isinstance(argument, list) and len(argument) == 2:
        index, items = scope.value(argument[0]), scope.value(argument[1])
        if isinstance(items, Unknown):
            return items
        if isinstance(items, list) and str(index).isdigit():
            if int(index) >= len(items):
                raise Refused("Template error: Fn::Select cannot select nonexistent value at index "
                              f"{index}")  # fmt: skip
            return items[int(index)]
    raise Refused("Template error: Fn::Select requires a list argument with two elements: "
                  "an integer index and a list")  # fmt: skip


def _split(scope: Scope, argument: Any) -> Any:
    if isinstance(argument, list) and len(argument) == 2:
        text = scope.text(argument[1], "the source of Fn::Split")
        return text if isinstance(text, Unknown) else text.split(as_text(argument[0]))
    raise Refused("Template error: every Fn::Split object requires two parameters, "
                  "(1) a delimiter and (2) a source string")  # fmt: skip


def _if(scope: Scope, argument: Any) -> Any:
    if isinstance(argument, list) and len(argument) == 3:
        return scope.value(argument[1 if scope.named(str(argument[0])) else 2])
    raise Refused("Template error: Fn::If requires a list argument with three elements")


def _find_in_map(scope: Scope, argument: Any) -> Any:
    if not isinstance(argument, list) or len(argument) not in (3, 4):
        raise Refused("Template error: Fn::FindInMap requires a map name, a top-level key and a "
                      "second-level key")  # fmt: skip
    keys = [str(scope.text(each, "a key of Fn::FindInMap")) for each in argument[:3]]
    found: Any = scope.document.get("Mappings")
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is not None:
        return scope.value(found)
    if len(argument) == 4 and isinstance(argument[3], dict) and "DefaultValue" in argument[3]:
        return scope.value(argument[3]["DefaultValue"])
    raise Refused(f"Template error: Unable to get mapping for {'::'.join(keys)}")


def _import_value(scope: Scope, argument: Any) -> Any:
    name = scope.text(argument, "the name of Fn::ImportValue")
    if isinstance(name, Unknown):
        raise Refused("Template error: Fn::ImportValue cannot depend on a resource")
    return scope.outside.export(name)


def _get_azs(scope: Scope, argument: Any) -> Any:
    region = scope.text(argument or "", "the region of Fn::GetAZs")
    return scope.outside.zones(str(region) or str(scope.values["AWS::Region"]))


def _base64(scope: Scope, argument: Any) -> Any:
    text = scope.text(argument, "the value of Fn::Base64")
    return text if isinstance(text, Unknown) else base64.b64encode(text.encode()).decode()


def _cidr(scope: Scope, argument: Any) -> Any:
    found = scope.value(argument)
    if not isinstance(found, list) or len(found) not in (2, 3):
        raise Refused("Template error: Fn::Cidr requires a block, a count and a number of bits")
    if any(isinstance(each, Unknown) for each in found):
        return _together(found, lambda known: known)
    block = ipaddress.ip_network(str(found[0]), strict=False)
    bits = int(found[2]) if len(found) == 3 else 8
    subnets = block.subnets(new_prefix=block.max_prefixlen - bits)
    return [str(subnet) for subnet, _ in zip(subnets, range(int(found[1])), strict=False)]


def _length(scope: Scope, argument: Any) -> Any:
    found = scope.value(argument)
    if isinstance(found, Unknown):
        return found
    if not isinstance(found, list):
        raise Refused("Template error: Fn::Length requires a list")
    return len(found)


def _to_json_string(scope: Scope, argument: Any) -> Any:
    found = scope.value(argument)
    if unknown := unknowns(found):
        return Unknown(unknown)
    return json.dumps(found, separators=(",", ":"))


def _equals(scope: Scope, argument: Any) -> bool:
    if isinstance(argument, list) and len(argument) == 2:
        one, other = (scope.value(each) for each in argument)
        return bool(normal(one) == normal(other))
    raise Refused("Template error: every Fn::Equals object requires a list of 2 string parameters")


def _all(scope: Scope, argument: Any) -> bool:
    return all(scope.holds(each) for each in _listed(argument))


def _any(scope: Scope, argument: Any) -> bool:
    return any(scope.holds(each) for each in _listed(argument))


def _not(scope: Scope, argument: Any) -> bool:
    [one] = _listed(argument)[:1] or [None]
    return not scope.holds(one)


def _condition(scope: Scope, argument: Any) -> bool:
    return scope.named(str(argument))


def _contains(scope: Scope, argument: Any) -> bool:
    items, one = (normal(scope.value(each)) for each in _listed(argument))
    return bool(one in items)


def _each_member_in(scope: Scope, argument: Any) -> bool:
    ones, items = (normal(scope.value(each)) for each in _listed(argument))
    return all(each in items for each in ones)


def _listed(argument: Any) -> list[Any]:
    if not isinstance(argument, list):
        raise Refused("Template error: a condition function requires a list")
    return argument


FUNCTIONS: Mapping[str, Callable[[Scope, Any], Any]] = {
    "Ref": _ref,
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAtt": _get_att,
    "Fn::GetAZs": _get_azs,
    "Fn::If": _if,
    "Fn::ImportValue": _import_value,
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
    "Fn::ToJsonString": _to_json_string,
}
CONDITIONS: Mapping[str, Callable[[Scope, Any], bool]] = {
    "Condition": _condition,
    "Fn::And": _all,
    "Fn::Contains": _contains,
    "Fn::EachMemberIn": _each_member_in,
    "Fn::Equals": _equals,
    "Fn::Not": _not,
    "Fn::Or": _any,
}
