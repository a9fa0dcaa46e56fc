"""moto's Step Functions: as many executions as come, few at work at once.

moto gives each execution a thread, a parse of its definition and new clients; thousands exhaust the
process. Here ``AT_WORK`` run, the others wait, and a ``Wait`` state occupies no place. For who
asks, all of them are RUNNING, as on AWS.
"""

from __future__ import annotations

import functools
import json
import threading
import uuid
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

AT_WORK = 24


class Places:
    """A number of places for work in threads; who left one for a while goes first."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._returning = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()

    def start(self, work: Callable[[], None]) -> None:
        """Runs ``work`` in a thread, once there is a place."""
        with self._changed:
            self._waiting.append(work)
        self._admit()

    def withdraw(self, work: Callable[[], None]) -> bool:
        """Whether ``work`` had not begun; it never will."""
        with self._changed:
            try:
                self._waiting.remove(work)
            except ValueError:
                return False
            return True

    def leave(self) -> None:
        """The caller's work pauses."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()
        self._admit()

    def return_(self) -> None:
        """Blocks until the caller's work can go on."""
        with self._changed:
            self._returning += 1
            self._changed.wait_for(lambda: self._free > 0)
            self._returning -= 1
            self._free -= 1

    def _admit(self) -> None:
        with self._changed:
            while self._waiting and self._free > self._returning:
                self._free -= 1
                work = self._waiting.popleft()
                threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self.leave()


def install() -> None:
    """Puts our way of running executions in the place of moto's."""
    _bound_executions(Places(AT_WORK))
    _name_executions()
    _write_outputs_as_json()
    _share_clients()
    _pass_invocation_types()


def _bound_executions(places: Places) -> None:
    from moto.stepfunctions.parser.api import ExecutionStatus
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
    from moto.stepfunctions.parser.backend import execution_worker
    from moto.stepfunctions.parser.utils import TMP_THREADS

    worker = execution_worker.ExecutionWorker
    parsed = functools.lru_cache(256)(AmazonStateLanguageParser.parse)

    def entry_point(self: Any) -> Any:
        definition = self._evaluation_details.state_machine_details.definition
        # What is parsed keeps nothing of an execution, but for the iterations of Map.
        parse = AmazonStateLanguageParser.parse if '"Map"' in definition else parsed
        return parse(definition)[0]

    def start(self: Any) -> None:
        TMP_THREADS.clear()  # else it keeps every thread that ever was
        places.start(self._execution_logic)

    def stop(self: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
        if places.withdraw(self._execution_logic):
            execution = self._execution_communication.execution
            execution.stop_date = stop_date
            execution.error, execution.cause = error, cause
            execution.exec_status = ExecutionStatus.ABORTED
        elif self.env is not None:
            self.env.set_stop(stop_date=stop_date, cause=cause, error=error)

    evaluate = wait_function.WaitFunction._eval_body

    def eval_body(self: Any, env: Any) -> None:
        places.leave()
        try:
            evaluate(self, env)
        finally:
            places.return_()

    worker._get_evaluation_entrypoint = entry_point  # type: ignore[method-assign]
    worker.start = start  # type: ignore[method-assign]
    worker.stop = stop  # type: ignore[method-assign]
    wait_function.WaitFunction._eval_body = eval_body  # type: ignore[method-assign]


def _name_executions() -> None:
    """moto calls an execution without a name None, and the second one taken; and two requests of
    one name at once would both start it."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend as Backend

    start_execution, lock = Backend.start_execution, threading.Lock()

    def start(self: Any, state_machine_arn: str, name: str | None = None, *more: Any,
              **arguments: Any) -> Any:  # fmt: skip
        with lock:
            name = name or str(uuid.uuid4())
            return start_execution(self, state_machine_arn, name, *more, **arguments)

    Backend.start_execution = start  # type: ignore[method-assign]


def _write_outputs_as_json() -> None:
    """A text is an output, too, and in quotes as every JSON text."""
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication as End

    reflect: Any = End._reflect_execution_status

    def reflect_status(self: Any) -> None:
        reflect(self)
        if isinstance(self.execution.output, str):
            self.execution.output = json.dumps(self.execution.output)

    End._reflect_execution_status = reflect_status  # type: ignore[method-assign]


def _share_clients() -> None:
    """One client for all tasks that call a service: making one takes longer than most calls."""
    from moto.stepfunctions.parser.asl.utils import boto_client

    lock = threading.Lock()
    made: Any = boto_client.boto3  # type: ignore[attr-defined]
    clients: dict[tuple[str, str], Any] = {}

    def client(*, service_name: str, region_name: str, config: Any, **arguments: Any) -> Any:
        with lock:
            key = (service_name, region_name)
            if key not in clients:
                room = type(config)(max_pool_connections=4 * AT_WORK)
                clients[key] = made.client(
                    service_name=service_name,
                    region_name=region_name,
                    config=config.merge(room),
                    **arguments,
                )
            return clients[key]

    boto_client.boto3 = SimpleNamespace(client=client)  # type: ignore[attr-defined]


def _pass_invocation_types() -> None:
    """A parameter of ``lambda:invoke`` that moto drops: ``Event`` would wait for the function.

    Source: AWS Step Functions Developer Guide, "Invoke an AWS Lambda function with Step Functions".
    """
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_lambda as integration,
    )

    integration._SUPPORTED_API_PARAM_BINDINGS["invoke"] |= {"InvocationType"}
