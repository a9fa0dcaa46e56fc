"""The GraphQL schema of a session: what ``schema.graphql`` serves, and refusals for the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLFieldResolver,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_object_type,
)

from ci.engine.api.unserved import Api
from ci.engine.graph.containers import BadRequest

REFUSED = "embedded engine does not serve "

_ANYTHING = GraphQLScalarType("Unserved", description="Stands for what is refused.")


def make_schema(resolve: GraphQLFieldResolver, api: Api) -> GraphQLSchema:
    """The served schema with ``resolve`` behind every field, and all of ``api`` described.

    A field or an argument that is described but not served raises BadRequest with its name.
    """
    served = build_schema(resources.files("ci.engine.api").joinpath("schema.graphql").read_text())
    objects = {
        name: kind
        for name, kind in served.type_map.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
    }
    for served_type in objects.values():
        for field in served_type.fields.values():
            field.resolve = resolve
    served.type_map["Node"].resolve_type = lambda node, *_: node.type  # type: ignore[attr-defined]
    if not api:
        return served
    foreign = {name: _foreign(name) for name in api if name not in served.type_map}
    known: dict[str, GraphQLOutputType] = {**objects, **foreign}
    for name, fields in api.items():
        if isinstance(kind := known.get(name), GraphQLObjectType):
            for field_name, (returned, arguments) in fields.items():
                _describe(kind, field_name, known.get(returned, _ANYTHING), arguments)
    types: list[GraphQLNamedType] = [*served.type_map.values(), *foreign.values(), _ANYTHING]
    return GraphQLSchema(
        query=objects["Query"],
        types=[kind for kind in types if not kind.name.startswith("__")],
        directives=served.directives,
    )


def _foreign(name: str) -> GraphQLObjectType:
    return GraphQLObjectType(name, {})


def _describe(
    kind: GraphQLObjectType, name: str, returned: GraphQLOutputType, arguments: list[str]
) -> None:
    """Adds what is missing of a field, to be refused when it is used."""
    field = kind.fields.get(name)
    if field is None:
        field = kind.fields[name] = GraphQLField(returned, resolve=_refuse)
    for argument in arguments:
        field.args.setdefault(argument, GraphQLArgument(_ANYTHING))


def _refuse(_source: Any, info: Any, **_: Any) -> None:
    raise BadRequest(f"{REFUSED}{info.parent_type.name}.{info.field_name}")


def served_arguments(info: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a served field, None where not given.

    Raises BadRequest where one was given that is described but not served.
    """
    arguments = {}
    where = f"{info.parent_type.name}.{info.field_name}"
    for name, argument in info.parent_type.fields[info.field_name].args.items():
        if get_named_type(argument.type) is not _ANYTHING:
            arguments[name] = given.get(name)
        elif given.get(name) is not None:
            raise BadRequest(f"{REFUSED}{where}({name}:)")
    return arguments


def expected_type(info: Any, argument: str) -> str | None:
    """The type of object that an ID argument stands for (``@expectedType``)."""
    node = info.parent_type.fields[info.field_name].args[argument].ast_node
    for directive in (node.directives if node else None) or ():
        if directive.name.value == "expectedType":
            return str(directive.arguments[0].value.value)
    return None


def returns_object(info: Any) -> str | None:
    """The name of the object type that a field leads to, None for a value."""
    kind = get_named_type(info.return_type)
    return kind.name if is_object_type(kind) else None


def explain(message: str) -> str:
    """A validation error in the words of this engine, where it is about something unserved."""
    if found := re.match(r"Cannot query field '(\w+)' on type '(\w+)'", message):
        return f"{REFUSED}{found[2]}.{found[1]}"
    if found := re.match(r"Unknown argument '(\w+)' on field '([\w.]+)'", message):
        return f"{REFUSED}{found[2]}({found[1]}:)"
    return message
