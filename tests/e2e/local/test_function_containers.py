"""How a function's environment begins, fails and is replaced, by images that fail on purpose."""

import asyncio
import statistics
import time

import pytest
from dagger import dag

from ci.local.functions import Function, running

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

HANDLERS = """
import os, sys, time

count = 0

def counting(event, context):
    global count
    count += 1
    return {"event": event, "count": count}

def sleeping(event, context):
    time.sleep(event)
    return counting(event, context)

def telling(event, context):
    return {
        "environ": dict(os.environ),
        "path": sys.path,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
    }

def exiting(event, context):
    print("last words", flush=True)
    os._exit(3)

def unserialisable(event, context):
    return object()
"""


@pytest.fixture(scope="module")
async def image(session, base_image, local_registry):
    dockerfile = f'FROM {base_image}\nCOPY handlers.py .\nCMD ["handlers.counting"]\n'
    context = dag.directory().with_new_file("Dockerfile", dockerfile)
    context = context.with_new_file("handlers.py", HANDLERS)
    return await context.docker_build().publish(f"{local_registry.host}/e2e-handlers:latest")


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
    function = Function(
        "teller", image, "handlers.telling", {"OWN": "ä b\n"}, seconds=9, memory_mb=300
    )
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
    async with running(Function("f", image, "handlers.sleeping", seconds=2)) as function:
        assert (await function.invoke(0)).json()["count"] == 1
        result = await function.invoke(60)
        assert result.error_type == "Sandbox.Timedout"
        assert (await function.invoke(0)).json()["count"] == 1


async def test_an_initialization_that_hangs_is_ended(image):
    dockerfile = f"FROM {image}\nRUN echo 'import time; time.sleep(60)' > hanging.py\n"
    hanging = dag.directory().with_new_file("Dockerfile", dockerfile).docker_build()
    reference = await hanging.publish(f"{image.partition('@')[0]}-hanging")
    begun = time.monotonic()
    async with running(Function("f", reference, "hanging.handler", start_seconds=2)) as function:
        result = await function.invoke({})
    assert result.error_type == "Sandbox.Timedout"
    assert "initialization did not end within 2 seconds" in result.json()["errorMessage"]
    assert time.monotonic() - begun < 20


async def test_an_exit_is_an_error_with_the_functions_log(image):
    async with running(Function("f", image, "handlers.exiting")) as function:
        for _ in range(2):
            result = await function.invoke({})
            assert result.error_type == "Runtime.ExitError"
            assert "exited with code 3" in result.json()["errorMessage"]
            assert "last words" in result.json()["errorMessage"]


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [
        ("nothing.handler", "Runtime.ImportModuleError"),
        ("handlers.nothing", "Runtime.HandlerNotFound"),
        ("nothing", "Runtime.MalformedHandlerName"),
    ],
)
async def test_an_error_of_initialization_has_lambdas_type(image, handler, error_type):
    async with running(Function("f", image, handler)) as function:
        assert (await function.invoke({})).error_type == error_type


async def test_what_is_no_json_is_an_error_and_the_environment_lives_on(image):
    async with running(Function("f", image, "handlers.unserialisable")) as function:
        for _ in range(2):
            assert (await function.invoke({})).error_type == "Runtime.MarshalError"


async def test_an_image_that_is_not_there_is_named(session, local_registry):
    missing = f"{local_registry.host}/e2e-no-such-image:latest"
    async with running(Function("f", missing)) as function:
        result = await function.invoke({})
    assert result.error_type == "Runtime.ContainerError"
    assert missing in result.json()["errorMessage"]
