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

from ci.engine.answers import Answers
from ci.engine.containers import BadRequest
from ci.engine.nodes import Node, Nodes, UnknownID
from ci.engine.redact import Redactor, Secret
from ci.engine.schema import expected_type, explain, make_schema, returns_object, served_arguments
from ci.engine.solve import ExecFailure, SolveError
from ci.engine.unserved import Api


@dataclass
class GraphQL:
    """The API of one session. ``secret_key`` keys the identity of its secrets."""

    answers: Answers
    nodes: Nodes
    redactor: Redactor
    secret_key: bytes
    version: str
    api: Api
    _schema: GraphQLSchema = field(init=False)

    def __post_init__(self) -> None:
        self._schema = make_schema(self._resolve, self.api)

    async def execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response to ``{"query", "variables", "operationName"}`` (GraphQL specification,
        section 7). The query may hold a secret in clear: it is never logged.
        """
        query = request.get("query")
        if not isinstance(query, str):
            return _errors([GraphQLError("the request has no query")])
        try:
            document = parse(query)
        except GraphQLError as error:
            return _errors([error])
        if problems := validate(self._schema, document):
            return _errors([GraphQLError(explain(p.message), p.nodes) for p in problems])
        result = execute(
            self._schema,
            document,
            variable_values=request.get("variables"),
            operation_name=request.get("operationName"),
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        response: dict[str, Any] = {"data": result.data}
        if result.errors:
            response["errors"] = [self._formatted(error) for error in result.errors]
        return response

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
            secret = Secret.make(args["name"], args["plaintext"], self.secret_key)
            self.redactor.learn(secret)
            return self.nodes.make("Secret", name, {"secret": secret})
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
        formatted["message"] = self.redactor.text(error.message)
        if isinstance(cause, ExecFailure):
            formatted["extensions"] = {
                "_type": "EXEC_ERROR",
                "cmd": [self.redactor.text(cause.cmd)],
                "exitCode": cause.code,
                "stdout": self.redactor.text(cause.stdout),
                "stderr": self.redactor.text(cause.stderr),
            }
        elif cause and not isinstance(cause, SolveError | BadRequest | UnknownID | OSError):
            # Ours to mend: the client gets its kind, the session's log the whole.
            formatted["message"] = f"embedded engine failed: {type(cause).__name__}: {cause}"
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "query failed", "exception": cause})
        return formatted


def _errors(errors: list[GraphQLError]) -> dict[str, Any]:
    return {"data": None, "errors": [dict(error.formatted) for error in errors]}
