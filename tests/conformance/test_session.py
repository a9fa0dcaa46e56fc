"""The session itself: refusals, IDs, concurrency, cancellation, services, the log stream."""

import base64
import http.server
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import dagger
import httpx
import pytest
from dagger import PortForward, dag
from opentelemetry import trace

from ci.engine.session import Session

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]
Write = Callable[..., str]


@asynccontextmanager
async def raw(engine: Session, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    auth = (engine.token if token is None else token, "")
    url = f"http://127.0.0.1:{engine.port}"
    async with httpx.AsyncClient(base_url=url, auth=auth, timeout=60) as client:
        yield client


async def test_version(engine: Session) -> None:
    assert (await dag.version()).startswith("v0.21.")


async def test_a_wrong_token_is_refused(engine: Session) -> None:
    async with raw(engine, "wrong") as client:
        for method, path in (("POST", "/query"), ("GET", "/v1/logs")):
            assert (await client.request(method, path, json={})).status_code == 401


async def test_a_query_that_is_no_graphql(engine: Session) -> None:
    async with raw(engine) as client:
        answer = await client.post("/query", json={"query": "this is no query {"})
        assert answer.status_code == 422
        assert answer.json()["errors"]
        answer = await client.post(
            "/query", content=b"no json", headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400


async def test_a_field_that_no_version_has(engine: Session) -> None:
    async with raw(engine) as client:
        answer = await client.post("/query", json={"query": "{container{withMagic{id}}}"})
    assert answer.status_code == 422
    assert "withMagic" in answer.json()["errors"][0]["message"]


async def test_an_id_that_somebody_made_up(engine: Session) -> None:
    made_up = [
        "Container:0000",
        base64.b64encode(b"\x80\x04cos\nsystem\n(S'true'\ntR.").decode(),
        "../../etc/passwd",
    ]
    async with raw(engine) as client:
        for id_ in made_up:
            query = f"{{node(id:{json.dumps(id_)}){{... on Container{{stdout}}}}}}"
            answer = (await client.post("/query", json={"query": query})).json()
            assert answer["errors"], id_
            assert not answer.get("data"), id_


async def test_an_id_of_another_type(engine: Session) -> None:
    async with raw(engine) as client:
        made = await client.post("/query", json={"query": '{cacheVolume(key:"x"){id}}'})
        id_ = json.dumps(made.json()["data"]["cacheVolume"]["id"])
        query = f'{{container{{withMountedDirectory(path:"/m",source:{id_}){{id}}}}}}'
        assert (await client.post("/query", json={"query": query})).json()["errors"]


async def test_what_is_not_served_is_named(engine: Session) -> None:
    if engine.kind != "embedded":
        pytest.skip("a real engine serves all of it")
    refused = "embedded engine does not serve "
    with pytest.raises(dagger.QueryError, match=f"^{refused}Container.withAnnotation$"):
        await dag.container().with_annotation("a", "b").sync()
    with pytest.raises(dagger.QueryError, match=f"^{refused}Query.git$"):
        await dag.git("https://example.org/x").branch("main").tree().entries()
    with pytest.raises(
        dagger.QueryError, match=rf"^{refused}Container.withExec\(insecureRootCapabilities:\)$"
    ):
        await dag.container().with_exec(["x"], insecure_root_capabilities=True).sync()


async def test_failing_step(base: dagger.Container) -> None:
    with pytest.raises(dagger.ExecError) as caught:
        await base.with_exec(["sh", "-c", "echo out; echo err >&2; exit 3"]).sync()
    error = caught.value
    assert error.message.startswith("exit code: 3")
    assert error.command == ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert (error.exit_code, error.stdout, error.stderr) == (3, "out", "err")


async def test_a_failure_is_not_cached(base: dagger.Container, unique: str) -> None:
    cache = dag.cache_volume(unique)
    script = "test -e /c/seen || { touch /c/seen; exit 1; }; echo second"
    step = base.with_mounted_cache("/c", cache).with_exec(["sh", "-c", script])
    with pytest.raises(dagger.ExecError):
        await step.stdout()
    assert await step.stdout() == "second\n"


async def test_a_long_error_keeps_its_end(base: dagger.Container) -> None:
    with pytest.raises(dagger.ExecError) as caught:
        await base.with_exec(["sh", "-c", "seq 1 200000; exit 1"]).sync()
    assert caught.value.stdout.endswith("200000")
    assert caught.value.stdout.startswith("[omitting ")
    assert 90_000 < len(caught.value.stdout) < 110_000


async def test_unknown_command(base: dagger.Container) -> None:
    with pytest.raises(dagger.ExecError) as caught:
        await base.with_exec(["nosuchcommand"]).sync()
    assert caught.value.exit_code == 1
    assert '"nosuchcommand": executable file not found in $PATH' in caught.value.stderr


async def test_equal_steps_run_once(base: dagger.Container, unique: str) -> None:
    cache = dag.cache_volume(unique)
    step = base.with_mounted_cache("/c", cache).with_exec(
        ["sh", "-c", "sleep 0.5; echo run >> /c/runs"]
    )
    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(step.with_label("n", str(n)).sync)
    seen = base.with_mounted_cache("/c", cache).with_exec(["cat", "/c/runs"])
    assert await seen.stdout() == "run\n"


async def test_independent_steps_run_in_parallel(base: dagger.Container, unique: str) -> None:
    started = time.monotonic()
    async with anyio.create_task_group() as group:
        for n in range(8):
            container = base.with_env_variable("N", f"{unique}{n}")
            group.start_soon(container.with_exec(["sleep", "2"]).sync)
    assert time.monotonic() - started < 13


async def test_one_failure_leaves_the_others_alone(base: dagger.Container, unique: str) -> None:
    outcomes: dict[int, str] = {}

    async def one(n: int) -> None:
        step = base.with_env_variable("U", unique).with_exec(
            ["sh", "-c", f"sleep 0.{n}; echo {n}; test {n} != 2"]
        )
        try:
            outcomes[n] = await step.stdout()
        except dagger.ExecError as error:
            outcomes[n] = f"failed {error.stdout}"

    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(one, n)
    assert outcomes == {0: "0\n", 1: "1\n", 2: "failed 2", 3: "3\n", 4: "4\n"}


async def test_cancelling_a_query_stops_its_step(base: dagger.Container, unique: str) -> None:
    cache = dag.cache_volume(unique)
    mounted = base.with_mounted_cache("/c", cache)
    script = "i=0; while test $i -lt 100; do echo $i > /c/beat; i=$((i+1)); sleep 0.1; done"
    await mounted.with_exec(["true"]).sync()  # what the step builds on is there: it starts at once
    with anyio.move_on_after(2.5):
        await mounted.with_exec(["sh", "-c", script]).sync()
    await anyio.sleep(1.5)
    read = ["cat", "/c/beat"]
    first = await mounted.with_env_variable("A", unique).with_exec(read).stdout()
    await anyio.sleep(0.5)
    second = await mounted.with_env_variable("B", unique).with_exec(read).stdout()
    assert first == second
    assert int(first) < 60


async def test_cancelling_one_of_two_leaves_the_work(base: dagger.Container, unique: str) -> None:
    step = base.with_env_variable("U", unique).with_exec(["sh", "-c", "sleep 2; echo whole"])
    results: list[str] = []

    async def wait() -> None:
        results.append(await step.stdout())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        with anyio.move_on_after(0.7):
            await step.stdout()
    assert results == ["whole\n"]


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"path {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


async def test_a_service_of_the_host_by_alias(
    base: dagger.Container, web: int, unique: str
) -> None:
    service = dag.host().service([PortForward(backend=web, frontend=8123)])
    bound = base.with_service_binding("the-service", service).with_env_variable("U", unique)
    got = bound.with_exec(["wget", "-q", "-O", "-", "http://the-service:8123/hello"])
    assert await got.stdout() == "path /hello"
    same = base.with_service_binding("api", dag.host().service([PortForward(backend=web)]))
    got = same.with_exec(["wget", "-q", "-O", "-", f"http://api:{web}/{unique}"])
    assert await got.stdout() == f"path /{unique}"


async def test_a_service_without_ports(base: dagger.Container) -> None:
    with pytest.raises(dagger.QueryError, match="no ports specified"):
        await base.with_service_binding("s", dag.host().service([])).with_exec(["true"]).sync()


@asynccontextmanager
async def logs_by_trace(engine: Session) -> AsyncIterator[dict[str, str]]:
    """What steps print while the block runs, by the trace ID of the request behind them."""
    texts: dict[str, str] = {}

    def keep(event: dict) -> None:
        for resource in event["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                if scope["scope"]["name"] != "dagger.io/engine.buildkit":
                    continue
                for record in scope["logRecords"]:
                    id_ = base64.b64decode(record["traceId"]).hex()
                    text = record.get("body", {}).get("stringValue", "")
                    texts[id_] = texts.get(id_, "") + text

    async def follow() -> None:
        async with (
            raw(engine) as client,
            client.stream("GET", "/v1/logs", timeout=None) as response,
        ):
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    keep(json.loads(line[6:]))

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        yield texts
        await anyio.sleep(1)
        group.cancel_scope.cancel()


def new_trace() -> tuple[str, trace.NonRecordingSpan]:
    context = trace.SpanContext(
        random.getrandbits(128), random.getrandbits(64), False, trace.TraceFlags(1)
    )
    return f"{context.trace_id:032x}", trace.NonRecordingSpan(context)


async def test_logs_of_each_function_by_its_trace(
    engine: Session, image: str, context: Write, unique: str
) -> None:
    ids: dict[int, str] = {}

    async def build(n: int) -> None:
        ids[n], span = new_trace()
        dockerfile = f"FROM {image}\nRUN seq 1 2000; echo function-{n}-{unique}; exit {n % 2}\n"
        with trace.use_span(span):
            try:
                path = context(Dockerfile=dockerfile)
                await dag.host().directory(path).docker_build().sync()
            except dagger.ExecError:
                assert n % 2

    async with logs_by_trace(engine) as texts, anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(build, n)
    whole = "".join(f"{n}\n" for n in range(1, 2001))
    for n, id_ in ids.items():
        assert texts[id_] == f"{whole}function-{n}-{unique}\n"


async def test_logs_are_scrubbed(engine: Session, base: dagger.Container, unique: str) -> None:
    id_, span = new_trace()
    secret = dag.set_secret(f"log-{unique}", f"value-{unique}")
    step = base.with_secret_variable("S", secret).with_exec(
        ["sh", "-c", "echo [$S]; echo [$S] >&2"]
    )
    async with logs_by_trace(engine) as texts:
        with trace.use_span(span):
            await step.sync()
    assert texts[id_] == "[***]\n[***]\n"
    assert f"value-{unique}" not in str(texts)


async def test_the_log_stream_tells_what_came_before(
    engine: Session, base: dagger.Container, unique: str
) -> None:
    id_, span = new_trace()
    with trace.use_span(span):
        await base.with_exec(["echo", unique]).sync()
    async with logs_by_trace(engine) as texts:
        pass
    assert texts[id_] == f"{unique}\n"
