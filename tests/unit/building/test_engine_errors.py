from __future__ import annotations

import dagger
import gql
import httpx
import pytest
from dagger._exceptions import QueryErrorValue

from ci.building.engine_errors import explained, output_of


def query_error(message: str, **extensions: object) -> dagger.QueryError:
    return dagger.QueryError(
        [QueryErrorValue(message, extensions=dict(extensions))], gql.gql("{version}")
    )


def unknown_field() -> dagger.InvalidQueryError:
    error = dagger.InvalidQueryError("Failed to build query. Please file a bug report.")
    error.__cause__ = AttributeError("Field withMagic does not exist in type Container")
    return error


STEP = query_error(
    "exit code: 3", _type="EXEC_ERROR", cmd=["sh", "-c", "false; exit 3"], exitCode=3,
    stdout="out", stderr="err",
)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (STEP, "StepFailed", "exit code 3 of sh -c 'false; exit 3'"),
        (query_error('process "/bin/sh -c x" did not complete successfully: exit code: 1'),
         "StepFailed", "/bin/sh -c x"),
        (query_error("dockerfile parse error on line 3: unknown instruction: RUM"),
         "BadDockerfile", "line 3"),
        (query_error('failed to compute cache key: failed to calculate checksum of ref x: '
                     '"/src/app.py": not found'), "MissingFile", "/src/app.py"),
        (query_error("failed to load container from converted ID: load Container@Cog+/bh=: load "
                     "xxh3:14: inputs: load xxh3:15: inputs: failed to content hash dockerfile "
                     "copy: failed to copy source directory: lstat /a.py: no such file or "
                     "directory"),
         "MissingFile", "failed to content hash dockerfile copy: failed to copy source"),
        (query_error("failed to resolve source metadata for x.io/a:1: x.io/a:1: not found"),
         "BaseMissing", "x.io/a:1"),
        (query_error("failed to push x: unexpected status from PUT request: 403 Forbidden"),
         "PushFailed", "403"),
        (query_error("write /x: no space left on device"), "DiskFull", "no space left"),
        (query_error("something new"), "EngineError", "something new"),
        (query_error("embedded engine does not serve Container.withAnnotation"),
         "Unserved", "embedded engine does not serve Container.withAnnotation"),
        (unknown_field(), "Unserved", "withMagic"),
        (dagger.TransportError("connection lost"), "EngineLost", "connection lost"),
        (httpx.ReadError("gone"), "EngineLost", "gone"),
        (ExceptionGroup("tasks", [httpx.ReadError("gone")]), "EngineLost", "gone"),
        (ZeroDivisionError("division"), "Unexpected", "ZeroDivisionError: division"),
    ],
)  # fmt: skip
def test_what_the_sdk_raises_is_told_in_the_users_words(
    error: Exception, kind: str, says: str
) -> None:
    told = explained(error, "routing-lambda")
    assert told.kind == kind
    assert says in told.what
    assert told.where == "routing-lambda"
    assert told.fix
    assert "bug report" not in str(told)
    assert "xxh3" not in str(told)


def test_the_output_of_a_step_is_kept() -> None:
    assert output_of(STEP) == "out\nerr"
    assert output_of(query_error("a\nb")) == "a\nb"
