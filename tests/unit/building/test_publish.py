"""What Lambda takes and what it refuses, and how pushes are repeated and tags moved."""

from __future__ import annotations

import json
from typing import Any

import anyio
import gql
import pytest
from dagger import ExecError, QueryError
from dagger._exceptions import QueryErrorValue
from kit import registries as kit

from ci.building.publish import push, refused_by_lambda
from ci.registry.client import Manifest
from ci.registry.retry import Policy

CONFIG: dict[str, Any] = {"architecture": "arm64", "os": "linux", "config": {"Cmd": ["a.b"]}}
QUICK = Policy(attempts=3, first=0.001)


def manifest(media_type: str = kit.MANIFEST, **changes: Any) -> Manifest:
    document = {"layers": [{"mediaType": kit.LAYER, "size": 10, "digest": "sha256:1"}]} | changes
    return Manifest("sha256:0", media_type, json.dumps(document).encode())


DOCKER_LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1}


@pytest.mark.parametrize(
    ("image", "config"),
    [
        (manifest(), CONFIG),
        (manifest(), CONFIG | {"architecture": "amd64"}),
        (manifest(), CONFIG | {"config": {"Entrypoint": ["/run"]}}),
        (manifest("application/vnd.docker.distribution.manifest.v2+json", layers=[DOCKER_LAYER]),
         CONFIG),
    ],
)  # fmt: skip
def test_what_lambda_takes(image: Manifest, config: dict[str, Any]) -> None:
    assert refused_by_lambda(image, config, runs=True) is None


@pytest.mark.parametrize(
    ("image", "config", "says"),
    [
        (manifest(kit.INDEX), {}, "an index of several images"),
        (manifest("text/html"), {}, "a manifest of the type 'text/html'"),
        (manifest(layers=[{"mediaType": kit.LAYER.replace("gzip", "zstd"), "size": 1}]), CONFIG,
         "zstd"),
        (manifest(layers=[{"mediaType": kit.LAYER.removesuffix("+gzip"), "size": 1}]), CONFIG,
         "layer.v1.tar'"),
        (manifest(layers=[{"mediaType": kit.LAYER, "size": 6 * 10**9}] * 2), CONFIG,
         "12.0 GB compressed, over 10 GB"),
        (manifest(), CONFIG | {"architecture": "s390x"}, "built for linux/s390x"),
        (manifest(), CONFIG | {"os": "windows"}, "built for windows/"),
        (manifest(), CONFIG | {"config": {}}, "neither entry point nor command"),
        (manifest(), CONFIG | {"config": None}, "neither entry point nor command"),
    ],
)  # fmt: skip
def test_what_lambda_refuses(image: Manifest, config: dict[str, Any], says: str) -> None:
    refused = refused_by_lambda(image, config, runs=True)
    assert refused is not None
    assert says in refused[0]


def test_a_layer_needs_no_command() -> None:
    assert refused_by_lambda(manifest(), CONFIG | {"config": {}}, runs=False) is None


def query_error(message: str, **extensions: object) -> QueryError:
    return QueryError([QueryErrorValue(message, extensions=dict(extensions))], gql.gql("{version}"))


def pushed(*steps: Exception | str) -> tuple[int, list[str], object]:
    """How often a push was tried, what was said, and what came of it."""
    tried = 0
    said: list[str] = []

    async def publish() -> str:
        nonlocal tried
        tried += 1
        step = steps[tried - 1]
        if isinstance(step, Exception):
            raise step
        return step

    async def run() -> str:
        return await push(publish, QUICK, said.append)

    try:
        result: object = anyio.run(run)
    except Exception as error:
        result = error
    return tried, said, result


BUSY = "failed to push: unexpected status: 503 Service Unavailable"


def test_a_push_is_repeated_after_a_transient_failure() -> None:
    tried, said, result = pushed(query_error(BUSY), "sha256:1")
    assert (tried, result) == (2, "sha256:1")
    assert said[0].startswith(BUSY)


def test_a_push_that_keeps_failing_ends_with_the_engines_error() -> None:
    last = query_error(BUSY)
    tried, _, result = pushed(query_error(BUSY), query_error(BUSY), last)
    assert tried == 3
    assert result is last


@pytest.mark.parametrize(
    "error",
    [
        query_error("failed to push: 403 Forbidden"),
        query_error(
            "exit code: 1", _type="EXEC_ERROR", cmd=["curl"], exitCode=1, stdout="",
            stderr="503 Service Unavailable",
        ),
    ],
)  # fmt: skip
def test_a_push_is_not_repeated_after_an_answer_or_a_failing_step(error: QueryError) -> None:
    tried, said, result = pushed(error, "never")
    assert (tried, said, result) == (1, [], error)
    assert isinstance(error, ExecError) == ("exit" in str(error))
