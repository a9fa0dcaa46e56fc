"""How a function's environment begins, fails and is replaced, by images that fail on purpose."""

import asyncio
import os
import re
import statistics
import time

import pytest
from dagger import dag
from kit.functions import running, variant

from ci.home import Home
from ci.local.lambdas import observer
from ci.local.lambdas.fleet import Limits
from ci.local.lambdas.functions import Function

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


async def test_an_environment_serves_many_invocations_and_ends_with_the_block(image):
    for _ in range(2):
        async with running(Function("f", image)) as function:
            results = await asyncio.gather(*(function.invoke(n) for n in range(50)))
        assert [r.json() for r in results] == [{"event": n, "count": n + 1} for n in range(50)]


async def test_an_invocation_costs_milliseconds(image):
    async with running(Function("f", image)) as function:
        await function.invoke(None)
        seconds = []
        for number in range(100):
            begun = time.monotonic()
            await function.invoke(number)
            seconds.append(time.monotonic() - begun)
    assert statistics.median(seconds) < 0.03  # Nagle's algorithm would make it 0.04 to 0.09


async def test_the_function_sees_what_lambda_shows_it(image):
    command = ("handlers.telling",)
    function = Function("teller", image, command, {"OWN": "ä b\n"}, seconds=9, memory_mb=300)
    async with running(function) as teller:
        told = (await teller.invoke({})).json()
    assert told["environ"]["OWN"] == "ä b\n"
    assert told["environ"]["AWS_LAMBDA_FUNCTION_NAME"] == told["name"] == "teller"
    assert told["environ"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == told["memory"] == "300"
    assert told["environ"]["AWS_REGION"] == "us-east-1"
    assert told["environ"]["LAMBDA_TASK_ROOT"] == "/var/task"
    assert told["environ"]["_HANDLER"] == "handlers.telling"
    assert told["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:teller"
    assert 8000 < told["left"] <= 9000
    assert told["path"][:4] == [
        "/var/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
        "/var/runtime",
    ]


async def test_after_a_time_out_the_environment_is_replaced(image):
    async with running(Function("f", image, ("handlers.sleeping",), seconds=2)) as function:
        assert (await function.invoke(0)).json()["count"] == 1
        result = await function.invoke(60)
        assert result.error_type == "Sandbox.Timedout"
        assert (await function.invoke(0)).json()["count"] == 1


async def test_an_initialization_that_hangs_is_repeated_within_the_invocation(image):
    hanging = await variant(image, "hanging", "import time; time.sleep(60)")
    begun = time.monotonic()
    function = Function("f", hanging, ("hanging.handler",), seconds=2)
    async with running(function, init_seconds=1) as running_function:
        result = await running_function.invoke({})
        log = running_function.log()
    assert result.error_type == "Sandbox.Timedout"
    assert result.json()["errorMessage"].endswith("Error: Task timed out after 2.00 seconds")
    assert time.monotonic() - begun < 20
    phases = re.findall(r"INIT_REPORT Init Duration: (\d+).* ms\tPhase: (\w+)\tStatus: (\w+)", log)
    assert [phase[1:] for phase in phases] == [("init", "timeout"), ("invoke", "timeout")]
    assert [int(phase[0]) >= limit for phase, limit in zip(phases, (1000, 2000), strict=True)]


async def test_an_initialization_that_works_the_second_time_is_no_error(image):
    code = (
        "import os, socket, time\n"
        "peer = socket.create_connection(('other.localhost', int(os.environ['PORT'])))\n"
        "peer.sendall(b'x')\n"
        "if peer.recv(9) != b'second': time.sleep(60)\n"
        "def handler(event, context): return event\n"
    )
    slow = await variant(image, "second", code)
    visits = []

    async def serve(reader, writer):
        if await reader.read(1):  # an engine that only looks whether somebody is there says nothing
            visits.append(writer)
            writer.write(b"second" if len(visits) == 2 else b"first")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environ, services = {"PORT": str(port)}, {"other.localhost": port}
    function = Function("f", slow, ("second.handler",), environ, services, seconds=20)
    async with server, running(function, init_seconds=2) as running_function:
        assert (await running_function.invoke(7)).json() == 7
        assert "Phase: init\tStatus: timeout" in running_function.log()


async def test_an_exit_is_an_error_with_the_functions_words_in_the_log(image):
    async with running(Function("f", image, ("handlers.exiting",))) as function:
        for _ in range(2):
            result = await function.invoke({})
            assert result.error_type == "Runtime.ExitError"
            message = "Error: Runtime exited with error: exit status 3"
            assert result.json()["errorMessage"].endswith(message)
        assert function.log().count("\tlast words\n") == 2


async def test_a_signal_is_an_error_that_names_it(image):
    async with running(Function("f", image, ("handlers.killed",))) as function:
        result = await function.invoke({})
    assert result.error_type == "Runtime.ExitError"
    assert result.json()["errorMessage"].endswith("exited with error: signal: killed")


async def test_more_memory_than_its_own_fails_an_invocation_and_ends_the_environment(image):
    function = Function("f", image, ("handlers.filling",), memory_mb=128)
    async with running(function) as filling:
        assert (await filling.invoke(1)).json() == 1
        result = await filling.invoke(200)
        assert result.error_type == "Runtime.OutOfMemory"
        assert result.json()["errorMessage"].endswith("exited with error: signal: killed")
        assert (await filling.invoke(1)).json() == 1  # counted in the environment's own memory
        log = filling.log()
    reports = re.findall(r"Max Memory Used: (\d+) MB.*?(Error Type: \S+)?$", log, re.MULTILINE)
    assert [kind for _, kind in reports] == ["", "Error Type: Runtime.OutOfMemory", ""]
    assert int(reports[0][0]) < 128
    assert 200 < int(reports[1][0]) < 300


async def test_processes_of_a_function_count_together(image):
    function = Function("f", image, ("handlers.forking",), memory_mb=128)
    async with running(function) as forking:
        result = await forking.invoke(120)
    assert result.error_type == "Runtime.OutOfMemory"


async def test_the_log_is_lambdas_and_whole_even_of_one_that_is_killed(image):
    function = Function("f", image, ("handlers.talking",), seconds=2, memory_mb=256)
    async with running(function) as talking:
        assert (await talking.invoke(0)).ok
        assert (await talking.invoke(60)).error_type == "Sandbox.Timedout"
        lines = [line.split("\t", 1)[1] for line in talking.log().splitlines()]
    id_ = "[0-9a-f-]{36}"
    expected = [
        rf"START RequestId: {id_} Version: \$LATEST", "on stdout 0", "on stderr 0", "no line end",
        rf"END RequestId: {id_}",
        rf"REPORT RequestId: {id_}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms"
        r"\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms",
        rf"START RequestId: {id_} Version: \$LATEST", "on stdout 60", "on stderr 60", "no line end",
        rf"END RequestId: {id_}",
        rf"RequestId: {id_} Error: Task timed out after 2\.00 seconds",
        rf"REPORT RequestId: {id_}\tDuration: 2\d\d\d\.\d\d ms\tBilled Duration: 2\d\d\d ms"
        r"\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\tStatus: timeout",
    ]  # fmt: skip
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


async def test_much_output_is_whole(image):
    async with running(Function("f", image, ("handlers.shouting",), seconds=20)) as shouting:
        assert (await shouting.invoke(20_000)).ok
        numbers = [line.split("\t")[1] for line in shouting.log().splitlines()]
    assert [n for n in numbers if n.isdecimal()] == [f"{n:0100}" for n in range(20_000)]


async def test_a_response_beyond_lambdas_quota_is_an_error(image):
    async with running(Function("f", image, ("handlers.large",), memory_mb=512)) as large:
        result = await large.invoke(7 * 1024 * 1024)
        assert result.error_type == "Function.ResponseSizeTooLarge"
        assert (await large.invoke(10)).ok


async def test_the_image_configuration_of_the_stack_counts(image):
    entrypoint = ("/bin/sh", "-c", 'cd /var && exec /lambda-entrypoint.sh "$@"', "-")
    function = Function("f", image, ("handlers.telling",), entrypoint=entrypoint, workdir="/opt")
    async with running(function) as telling:
        told = (await telling.invoke({})).json()
    assert told["environ"]["OLDPWD"] == "/var"  # the entry point's; the image's would have none
    assert told["environ"]["_HANDLER"] == "handlers.telling"


async def test_an_entry_point_that_is_not_there_is_named(image):
    async with running(Function("f", image, entrypoint=("/no/such/program",))) as function:
        result = await function.invoke({})
    assert result.error_type == "Runtime.InvalidEntrypoint"
    assert "/no/such/program" in result.json()["errorMessage"]


async def test_a_busy_function_gets_more_environments_up_to_its_limit(image):
    function = Function("f", image, ("handlers.sleeping",), seconds=20)
    limits = Limits(of_function=2, patience=0.2)
    async with running(function, limits=limits) as sleeping:
        results = await asyncio.gather(*(sleeping.invoke(3) for _ in range(4)))
    counts = sorted(result.json()["count"] for result in results)
    assert counts == [1, 1, 2, 2]


async def test_an_idle_environment_ends(image):
    limits = Limits(of_function=1, idle=0.5)
    async with running(Function("f", image), limits=limits) as function:
        assert (await function.invoke(1)).json()["count"] == 1
        await asyncio.sleep(2)
        assert (await function.invoke(1)).json()["count"] == 1


async def test_an_image_without_a_shell_works(image, local_registry):
    """The helper stands before a static program, as a function in Go would be."""
    home = Home.from_environ(os.environ)
    observer.install(home, os.environ, print)
    helper = dag.host().directory(str(observer.directory(home))).file(observer.PROGRAM)
    bare = dag.container().with_file("/program", helper).with_entrypoint(["/program"])
    reference = await bare.publish(f"{local_registry.host}/e2e-bare:latest")
    async with running(Function("f", reference)) as function:
        result = await function.invoke({})
        log = function.log()
    assert result.json()["errorMessage"].endswith("exited with error: exit status 125")
    assert "observer: ADDRESS COMMAND…" in log


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [
        ("nothing.handler", "Runtime.ImportModuleError"),
        ("handlers.nothing", "Runtime.HandlerNotFound"),
        ("nothing", "Runtime.MalformedHandlerName"),
    ],
)
async def test_an_error_of_initialization_has_lambdas_type(image, handler, error_type):
    async with running(Function("f", image, (handler,))) as function:
        assert (await function.invoke({})).error_type == error_type


async def test_what_is_no_json_is_an_error_and_the_environment_lives_on(image):
    async with running(Function("f", image, ("handlers.unserialisable",))) as function:
        for _ in range(2):
            assert (await function.invoke({})).error_type == "Runtime.MarshalError"


async def test_an_image_that_is_not_there_is_named(session, local_registry):
    missing = f"{local_registry.host}/e2e-no-such-image:latest"
    async with running(Function("f", missing)) as function:
        result = await function.invoke({})
    assert result.error_type == "Runtime.ContainerError"
    assert missing in result.json()["errorMessage"]
