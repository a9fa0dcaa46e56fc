"""Properties of a template in the types and spelling that a service's API takes.

CloudFormation takes ``30`` and ``"30"`` for the same; boto3 does not. And some services spell
their API's members in camelCase where the template says PascalCase.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ci.cfn_parameters import as_text


class Misfit(ValueError):
    """A property that the API has no place for, or a value of another type."""


def shaped(client: Any, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a method, as its API's model has them. Raises Misfit."""
    operation = client.meta.method_to_api_mapping[method]
    shape = client.meta.service_model.operation_model(operation).input_shape
    found: dict[str, Any] = _structure(arguments, shape, "")
    return found


def _structure(value: Any, shape: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Misfit(f"Value of property {where} must be an object")
    names = {name.lower(): name for name in shape.members}
    result = {}
    for key, each in value.items():
        name = names.get(str(key).lower())
        inside = f"{where}.{key}" if where else str(key)
        if name is None:
            raise Misfit(f"Encountered unsupported property {inside}")
        result[name] = _value(each, shape.members[name], inside)
    return result


def _value(value: Any, shape: Any, where: str) -> Any:
    match shape.type_name:
        case "structure" if getattr(shape, "is_document_type", False):
            return value
        case "structure":
            return _structure(value, shape, where)
        case "list":
            if not isinstance(value, list):
                raise Misfit(f"Value of property {where} must be of type List")
            return [
                _value(each, shape.member, f"{where}.{index}") for index, each in enumerate(value)
            ]
        case "map":
            if not isinstance(value, Mapping):
                raise Misfit(f"Value of property {where} must be an object")
            return {
                str(key): _value(each, shape.value, f"{where}.{key}") for key, each in value.items()
            }
        case "string" if isinstance(value, dict | list):
            return json.dumps(value)
        case "string":
            return as_text(value)
        case "integer" | "long":
            return _number(value, int, where)
        case "float" | "double":
            return _number(value, float, where)
        case "boolean":
            if as_text(value).lower() not in ("true", "false"):
                raise Misfit(f"Value of property {where} must be of type Boolean")
            return as_text(value).lower() == "true"
    return value


def _number(value: Any, kind: type[int] | type[float], where: str) -> Any:
    try:
        return kind(as_text(value))
    except ValueError as error:
        raise Misfit(f"Value of property {where} must be of type Number") from error
