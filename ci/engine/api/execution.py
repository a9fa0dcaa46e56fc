"""GraphQL execution: a query becomes nodes and answers; errors become what Dagger's look like."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    execute,
    parse,
    validate,
)

from ci.engine.api.answers import Answers
from ci.engine.api.nodes import Node, Nodes, UnknownID
from ci.engine.api.schema import (
    expected_type,
    explain,
    make_schema,
    returns_object,
    served_arguments,
)
from ci.engine.api.unserved import Api
from ci.engine.buildkit.rawjson import ExecFailure, SolveError
from ci.engine.buildkit.redact import Secrets
from ci.engine.graph.containers import BadRequest


@dataclass
class GraphQL:
    """The API of one session."""

    answers: Answers
    nodes: Nodes
    secrets: Secrets
    version: str
    api: Api
    _schema: GraphQLSchema = field(init=False)

    def __post_init__(self) -> None:
        self._schema = make_schema(self._resolve, self.api)

    async def execute(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """The response to ``{"query", "variables", "operationName"}`` and its HTTP status.

        GraphQL specification, section 7; as Dagger's engine, 422 for what is no valid query and
        no partial data beside errors. The query may hold a secret in clear: it is never logged.
        """
        try:
            document = parse(request.get("query") or "")
        except GraphQLError as error:
            return _invalid("GRAPHQL_PARSE_FAILED", [error]), 422
        if problems := validate(self._schema, document):
            errors = [GraphQLError(explain(problem.message), problem.nodes) for problem in problems]
            return _invalid("GRAPHQL_VALIDATION_FAILED", errors), 422
        result = execute(
            self._schema,
            document,
            variable_values=request.get("variables"),
            operation_name=request.get("operationName"),
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        if result.errors:
            return {"errors": [self._formatted(e) for e in result.errors], "data": None}, 200
        return {"data": result.data}, 200

    async def _resolve(self, source: Node | None, info: Any, /, **given: Any) -> Any:
        args = served_arguments(info, given)
        name = info.field_name
        if name == "id" and source:
            return source.id
        if name == "version":
            return self.version
        if name == "node":
            return self.nodes.load(args["id"])
        if name == "setSecret":
            self.secrets.set(args["name"], args.pop("plaintext"))
        args = {key: self._loaded(info, key, value) for key, value in args.items()}
        if kind := returns_object(info):
            parent = None if info.parent_type.name == "Query" else source
            return self.nodes.make(kind, name, args, parent)
        assert source is not None  # noqa: S101 - values of Query are answered above
        return await self.answers.answer(source, name, args)

    def _loaded(self, info: Any, argument: str, value: Any) -> Any:
        """An argument with its IDs replaced by the nodes that they stand for."""
        kind = expected_type(info, argument)
        if kind is None or value is None:
            return value
        if isinstance(value, list):
            return [self.nodes.load(item, kind) for item in value]
        return self.nodes.load(value, kind)

    def _formatted(self, error: GraphQLError) -> dict[str, Any]:
        cause = error.original_error
        formatted: dict[str, Any] = dict(error.formatted)
        formatted["message"] = self.secrets.text(error.message)
        if isinstance(cause, ExecFailure):
            formatted["extensions"] = {
                "_type": "EXEC_ERROR",
                "cmd": cause.cmd,
                "exitCode": cause.code,
                "stdout": cause.stdout,
                "stderr": cause.stderr,
            }
        elif cause and not isinstance(cause, SolveError | BadRequest | UnknownID | OSError):
            # Ours to mend: the client gets its kind, the session's log the whole.
            formatted["message"] = f"embedded engine failed: {type(cause).__name__}: {cause}"
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "query failed", "exception": cause})
        return formatted


def _invalid(code: str, errors: list[GraphQLError]) -> dict[str, Any]:
    formatted = [{**error.formatted, "extensions": {"code": code}} for error in errors]
    return {"errors": formatted, "data": None}
