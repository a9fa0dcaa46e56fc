"""An execution environment: a container of a function's image that asks for one event at a time.

Its life is Lambda's. It starts with an invocation; initialization may take 10 s, and is repeated
once within the invocation's own time where it failed. A time-out, an exit or too much memory ends
it. Source: "Understanding the Lambda execution environment lifecycle", AWS.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci.local.lambdas.functions import Function
from ci.local.lambdas.logs import LogStream, init_report, report
from ci.local.lambdas.observer import PROGRAM, Watch, watching
from ci.local.lambdas.runtime_api import (
    RESPONSE_TOO_LARGE,
    TIMED_OUT,
    TOO_LARGE,
    Ending,
    Result,
    RuntimeApi,
    by_platform,
    serving,
    timed_out,
)

if TYPE_CHECKING:
    from dagger import Container

HOST_ALIAS = "runtime.localhost"
HELPER = "/.function-host"
INIT_SECONDS = 10.0
START_SECONDS = 120.0
"""How long pulling the image and starting the container may take; no time of the function's."""
# Buckets in host names, the default, would each need an alias of its own.
AWS_CONFIG = "[default]\ns3 =\n    addressing_style = path\n"
AWS_CONFIG_FILE = "/var/runtime/aws-config"
_BY_PLATFORM = ("Runtime.", "Sandbox.", "Function.")
_SIGNALS = {6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated"}


@dataclass(frozen=True)
class Surroundings:
    """What all environments share: the directory of the compiled helper, that of the logs, and
    time limits in seconds."""

    helper: Path
    logs: Path
    init_seconds: float = INIT_SECONDS
    start_seconds: float = START_SECONDS


@dataclass
class _Sandbox:
    """A container that runs."""

    api: RuntimeApi
    watch: Watch


class Environment:
    """One environment of a function; it is used for one invocation at a time.

    ``broken`` says that it can take no more: end it, and use another. ``starting`` bounds how many
    start at once.
    """

    def __init__(
        self, function: Function, surroundings: Surroundings, starting: asyncio.Semaphore
    ) -> None:
        self.function = function
        self.broken = False
        self._around, self._starting = surroundings, starting
        self._id = uuid.uuid4().hex
        self._log = LogStream(surroundings.logs / function.name, self._id)
        self._sandbox: _Sandbox | None = None
        self._init_seconds: float | None = None
        self._stack = AsyncExitStack()

    async def invoke(self, event: bytes, request_id: str) -> Result:
        """Run the handler on a JSON text. What goes wrong in the function is in the result."""
        left = self.function.seconds
        if self._sandbox is None:
            result, left = await self._initialize(request_id)
            if result:
                self.broken = True
                return result
        init_seconds, self._init_seconds = self._init_seconds, None
        return await self._work(event, request_id, left, init_seconds)

    async def end(self) -> None:
        """End the container. All it printed is in the log, whatever ended it."""
        self.broken = True
        await self._stop()
        self._log.close()

    async def _initialize(self, request_id: str) -> tuple[Result | None, float]:
        """Starts the container, again within the invocation where it fails; what went wrong then,
        else how many seconds the invocation has left."""
        function, around = self.function, self._around
        async with self._starting:
            sandbox, fault = await self._start(request_id)
            if fault:
                return fault, 0.0
            took, ending = await _ready(sandbox, around.init_seconds)
        if ending is None:
            self._init_seconds = took
            return None, function.seconds
        self._tell_init(took, "init", ending, request_id)
        await self._stop()
        sandbox, fault = await self._start(request_id)
        if fault:
            return fault, 0.0
        self._log.line(f"START RequestId: {request_id} Version: $LATEST")
        took, ending = await _ready(sandbox, function.seconds)
        if ending is None:
            return None, max(function.seconds - took, 0.001)
        if ending(request_id).error_type == TIMED_OUT:
            ending = timed_out(function.seconds)
        self._tell_init(took, "invoke", ending, request_id)
        result = ending(request_id)
        self._log.line(f"END RequestId: {request_id}")
        self._tell(request_id, took, result, None)
        return result, 0.0

    async def _work(
        self, event: bytes, request_id: str, left: float, init_seconds: float | None
    ) -> Result:
        function, sandbox = self.function, self._sandbox
        assert sandbox  # noqa: S101 - it is initialized
        began = time.monotonic()

        def taken() -> None:
            nonlocal began
            began = time.monotonic()
            if left == function.seconds:
                self._log.line(f"START RequestId: {request_id} Version: $LATEST")

        result = await sandbox.api.invoke(
            event, left, request_id, taken=taken, late=timed_out(function.seconds)
        )
        seconds = time.monotonic() - began
        if result.error_type == TOO_LARGE:
            return result
        await sandbox.watch.mark()
        if sandbox.watch.peak_kib > function.memory_mb * 1024:
            ending = by_platform("Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
            result = ending(request_id)
            self.broken = True
        elif sandbox.api.ended or result.error_type in (TIMED_OUT, RESPONSE_TOO_LARGE):
            self.broken = True  # awslambdaric exits where its response is not taken
        self._log.line(f"END RequestId: {request_id}")
        self._tell(request_id, seconds, result, init_seconds)
        return result

    def _tell(
        self, request_id: str, seconds: float, result: Result, init_seconds: float | None
    ) -> None:
        peak = self._sandbox.watch.peak_kib if self._sandbox else 0
        by_function = not (result.error_type or "").startswith(
            ("Runtime.", "Sandbox.", "Function.")
        )
        status = "timeout" if result.error_type == TIMED_OUT else "" if by_function else "error"
        error_type = (result.error_type or "") if status == "error" else ""
        if not by_function:
            self._log.line(result.json().get("errorMessage", ""))
        self._log.line(
            report(
                request_id, seconds, self.function.memory_mb, peak,
                init_seconds=init_seconds, status=status, error_type=error_type,
            )
        )  # fmt: skip

    def _tell_init(self, seconds: float, phase: str, ending: Ending, request_id: str) -> None:
        error_type = ending(request_id).error_type or ""
        if error_type == TIMED_OUT:
            self._log.line(init_report(seconds, phase, "timeout"))
        else:
            self._log.line(init_report(seconds, phase, "error", error_type))

    async def _start(self, request_id: str) -> tuple[_Sandbox, Result | None]:
        """A container that begins to run; what keeps it from that, if anything."""
        sandbox = await self._stack.enter_async_context(
            _sandbox(self.function, self._around, self._id, self._log)
        )
        self._sandbox = sandbox
        limit = self._around.start_seconds
        try:
            await asyncio.wait_for(_first(sandbox.watch.connected, sandbox.api.ready), limit)
        except TimeoutError:
            message = f"{self.function.image} did not start within {limit:.0f} s"
            return sandbox, Result.error("Runtime.ContainerError", message)
        if not sandbox.watch.connected.is_set() and sandbox.api.ended:
            return sandbox, sandbox.api.ended(request_id)
        return sandbox, None

    async def _stop(self) -> None:
        self._sandbox = None
        await self._stack.aclose()


async def _ready(sandbox: _Sandbox, limit: float) -> tuple[float, Ending | None]:
    """How long the runtime took to ask for work, and how it ended if it did not."""
    began = time.monotonic()
    try:
        await asyncio.wait_for(sandbox.api.ready.wait(), limit)
    except TimeoutError:
        ending: Ending | None = timed_out(limit)
    else:
        ending = sandbox.api.ended
    if ending:
        await sandbox.watch.mark()
    return time.monotonic() - began, ending


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


@asynccontextmanager
async def _sandbox(
    function: Function, around: Surroundings, environment: str, log: LogStream
) -> AsyncIterator[_Sandbox]:
    async with serving(function.arn) as api, watching(log.printed) as watch:
        tasks = [
            asyncio.create_task(_run(function, around, environment, api, watch)),
            asyncio.create_task(_watch_end(api, watch)),
        ]
        try:
            yield _Sandbox(api, watch)
        finally:
            watch.close()  # ends what runs in the container before anybody else can
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()  # raises what nobody expected


async def _watch_end(api: RuntimeApi, watch: Watch) -> None:
    """The helper's word is there long before the engine's."""
    await watch.ended.wait()
    if watch.fault:
        api.end(by_platform("Runtime.InvalidEntrypoint", watch.fault))
    elif watch.exit_code is not None:
        api.end(by_platform("Runtime.ExitError", _exit_message(watch.exit_code)))


def _exit_message(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 128:
        return f"Runtime exited with error: signal: {_SIGNALS.get(code - 128, code - 128)}"
    return f"Runtime exited with error: exit status {code}"


async def _run(
    function: Function, around: Surroundings, environment: str, api: RuntimeApi, watch: Watch
) -> None:
    """Run the container until it exits: after that, however it came, nobody waits for it."""
    import dagger

    try:
        container = _container(function, around, environment, {HOST_ALIAS: [api.port, watch.port]})
        entrypoint = function.entrypoint or tuple(await container.entrypoint())
        command = function.command or tuple(await container.default_args())
        await container.with_exec(
            [f"{HELPER}/{PROGRAM}", f"{HOST_ALIAS}:{watch.port}", *entrypoint, *command],
            expect=dagger.ReturnType.ANY,
        ).sync()
    except dagger.ExecError as error:
        message = _exit_message(error.exit_code)
        api.end(by_platform("Runtime.ExitError", message))
    except dagger.DaggerError as error:
        what = f"{function.image} cannot run: {error}"
        api.end(lambda _: Result.error("Runtime.ContainerError", what))
    finally:
        api.end(by_platform("Runtime.ExitError", "the function's environment was ended"))


def _container(
    function: Function, around: Surroundings, environment: str, own: dict[str, list[int]]
) -> Container:
    from dagger import PortForward, dag

    container = dag.container().from_(function.image)
    for alias, ports in {**own, **{k: [port] for k, port in function.services.items()}}.items():
        forwards = [PortForward(backend=port, frontend=port) for port in ports]
        container = container.with_service_binding(alias, dag.host().service(forwards))
    helper = dag.host().directory(str(around.helper), include=[PROGRAM])
    container = container.with_mounted_directory(HELPER, helper, read_only=True)
    container = container.with_new_file(AWS_CONFIG_FILE, AWS_CONFIG)
    if function.workdir:
        container = container.with_workdir(function.workdir)
    variables = {**_defaults(function, environment, own[HOST_ALIAS][0]), **function.environ}
    for name, value in variables.items():
        container = container.with_env_variable(name, value)
    return container


def _defaults(function: Function, environment: str, runtime_port: int) -> dict[str, str]:
    """Source: "Working with Lambda environment variables", the defined runtime variables."""
    return {
        "AWS_LAMBDA_RUNTIME_API": f"{HOST_ALIAS}:{runtime_port}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        # Another one for each environment: no engine answers out of its cache.
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{environment}",
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "AWS_CONFIG_FILE": AWS_CONFIG_FILE,
    }
