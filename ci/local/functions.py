"""Runs a published function image as Lambda would: a container that asks a Runtime API for work."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import CancelScope

from ci.local.runtime_api import TIMED_OUT, Result, RuntimeApi, serving

if TYPE_CHECKING:
    from dagger import Container

RUNTIME_ALIAS = "runtime.localhost"
ACCOUNT = "123456789012"
REGION = "us-east-1"
# Buckets in host names, the default, would each need an alias of its own.
AWS_CONFIG = "[default]\ns3 =\n    addressing_style = path\n"
AWS_CONFIG_FILE = "/var/runtime/aws-config"


@dataclass(frozen=True)
class Function:
    """How a function is configured. ``handler`` None: the image's own command.

    ``services`` maps aliases to ports of 127.0.0.1 on the host: the only way in which a function
    reaches the host. ``seconds`` is the time limit of an invocation, ``start_seconds`` that of
    pulling the image and initializing.
    """

    name: str
    image: str
    handler: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 30.0
    start_seconds: float = 120.0
    memory_mb: int = 512


class Running:
    """A function that answers; see ``running``."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._turn = asyncio.Lock()
        self._environment = AsyncExitStack()
        self._api: RuntimeApi | None = None

    async def invoke(self, event: object) -> Result:
        """Run the handler on an event, which must be serialisable as JSON.

        Invocations queue: one environment works on one at a time. What goes wrong in the function,
        its container included, is in the result. Raises TypeError or ValueError for a bad event.
        """
        text = json.dumps(event).encode()
        async with self._turn:
            if self._api is None:
                self._api = await self._environment.enter_async_context(
                    _environment(self._function)
                )
            result = await self._result(self._api, text)
            if self._api.ended or result.error_type == TIMED_OUT:
                await self.end()
            return result

    async def _result(self, api: RuntimeApi, text: bytes) -> Result:
        try:
            await asyncio.wait_for(api.ready.wait(), self._function.start_seconds)
        except TimeoutError:
            limit = f"{self._function.start_seconds:.0f} seconds"
            return Result.error(TIMED_OUT, f"initialization did not end within {limit}")
        return await api.invoke(text, self._function.seconds)

    async def end(self) -> None:
        """End the environment; the next invocation begins a new one."""
        self._api = None
        await self._environment.aclose()


@asynccontextmanager
async def running(function: Function) -> AsyncIterator[Running]:
    """Let a published image answer invocations, in the current Dagger session.

    Its environment, the container, starts with the first invocation; as on Lambda it is replaced
    after a time-out, a failed initialization or an exit, and ends with the block.
    """
    instance = Running(function)
    try:
        yield instance
    finally:
        with CancelScope(shield=True):
            await instance.end()


@asynccontextmanager
async def _environment(function: Function) -> AsyncIterator[RuntimeApi]:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}"
    async with serving(arn) as api:
        task = asyncio.create_task(_run(function, api))
        try:
            yield api
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()  # raises what nobody expected


async def _run(function: Function, api: RuntimeApi) -> None:
    """Run the container until it exits: after that, however it came, nobody waits for it."""
    try:
        api.end(await _exit(function, api.port))
    finally:
        api.end(Result.error("Runtime.ExitError", "the function's environment was ended"))


async def _exit(function: Function, runtime_port: int) -> Result:
    """How the container ended, with its log."""
    import dagger

    try:
        container = _container(function, runtime_port)
        arguments = [function.handler] if function.handler else await container.default_args()
        done = await container.with_exec(arguments, use_entrypoint=True).sync()
        code, log = 0, f"{await done.stdout()}\n{await done.stderr()}"
    except dagger.ExecError as error:
        code, log = error.exit_code, f"{error.stdout}\n{error.stderr}"
    except dagger.DaggerError as error:
        return Result.error("Runtime.ContainerError", f"{function.image} cannot run: {error}")
    message = f"{function.name}: the runtime exited with code {code}; its log:\n{log.strip()}"
    return Result.error("Runtime.ExitError", message)


def _container(function: Function, runtime_port: int) -> Container:
    from dagger import PortForward, dag

    container = dag.container().from_(function.image)
    for alias, port in {RUNTIME_ALIAS: runtime_port, **function.services}.items():
        service = dag.host().service([PortForward(backend=port, frontend=port)])
        container = container.with_service_binding(alias, service)
    container = container.with_new_file(AWS_CONFIG_FILE, AWS_CONFIG)
    for name, value in {**_defaults(function, runtime_port), **function.environ}.items():
        container = container.with_env_variable(name, value)
    return container


def _defaults(function: Function, runtime_port: int) -> dict[str, str]:
    """Source: "Working with Lambda environment variables", the defined runtime variables."""
    return {
        "AWS_LAMBDA_RUNTIME_API": f"{RUNTIME_ALIAS}:{runtime_port}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        # Another one for each environment: no engine answers out of its cache.
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{uuid.uuid4().hex}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "AWS_CONFIG_FILE": AWS_CONFIG_FILE,
    }
