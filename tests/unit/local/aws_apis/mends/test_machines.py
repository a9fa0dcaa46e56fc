"""Step Functions: executions that invoke functions through the host, and many of them at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kit import function_host, local_cloud
from kit.function_host import FunctionHost, failed
from kit.local_cloud import LocalCloud

from ci.local.aws_apis.mends.machines import AT_WORK, Places

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:works"


@pytest.fixture
def host(cloud: LocalCloud) -> Iterator[FunctionHost]:
    with function_host.serving(cloud) as found:
        yield found


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> dict[str, str]:
    """A function and a role."""
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                            "Principal": {"Service": "states.amazonaws.com"}}]}  # fmt: skip
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    function = {"FunctionName": "works", "Runtime": "python3.13", "Handler": "index.h",
                "Role": {"Fn::GetAtt": "rRole.Arn"}, "Code": {"ZipFile": "x = 1"}}  # fmt: skip
    template = {
        "Resources": {
            "rRole": role,
            "rWorks": {"Type": "AWS::Lambda::Function", "Properties": function},
        },
        "Outputs": {"oRole": {"Value": {"Fn::GetAtt": "rRole.Arn"}}},
    }
    [output] = local_cloud.deploy(cloud, "machines", template)["Outputs"]
    return {"role": output["OutputValue"]}


def task(**more: Any) -> dict[str, Any]:
    parameters = {"FunctionName": FUNCTION, "Payload.$": "$"} | more.pop("parameters", {})
    resource = "arn:aws:states:::lambda:invoke"
    return {"Type": "Task", "Resource": resource, "Parameters": parameters} | more


class Machine:
    """A state machine of a test."""

    def __init__(self, cloud: LocalCloud, role: str, name: str, **states: Any) -> None:
        self.client = cloud.client("stepfunctions")
        definition = {"StartAt": next(iter(states)), "States": states}
        self.arn = self.client.create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=role
        )["stateMachineArn"]

    def start(self, event: Any = None, **more: Any) -> str:
        return str(self.client.start_execution(
            stateMachineArn=self.arn, input=json.dumps(event or {}), **more
        )["executionArn"])  # fmt: skip

    def describe(self, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_execution(executionArn=execution)
        return found

    def run(self, event: Any = None) -> dict[str, Any]:
        execution = self.start(event)
        found: dict[str, Any] = local_cloud.settled(lambda: self.describe(execution), "status")
        return found


def test_a_task_gets_the_functions_answer(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    host.answers["works"] = lambda event: (200, {}, {"doubled": event["n"] * 2})
    machine = Machine(cloud, stack["role"], "answers", A=task(OutputPath="$.Payload", End=True))
    done = machine.run({"n": 21})
    assert (done["status"], json.loads(done["output"])) == ("SUCCEEDED", {"doubled": 42})


def test_an_asynchronous_task_does_not_wait(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    event = task(parameters={"InvocationType": "Event"}, ResultPath=None, End=True)
    done = Machine(cloud, stack["role"], "asynchronous", A=event).run({"n": 1})
    assert (done["status"], json.loads(done["output"])) == ("SUCCEEDED", {"n": 1})
    [invocation] = host.of("works")
    assert invocation.headers["x-amz-invocation-type"] == "Event"


def test_a_functions_error_reaches_the_catch_by_its_type(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    host.answers["works"] = lambda event: failed("DataError", "no mass")
    catch = {"ErrorEquals": ["DataError"], "ResultPath": "$.error", "Next": "Caught"}
    machine = Machine(
        cloud, stack["role"], "catches", A=task(Catch=[catch], Next="Caught"),
        Caught={"Type": "Succeed"},
    )  # fmt: skip
    done = machine.run({"n": 1})
    assert done["status"] == "SUCCEEDED"
    error = json.loads(done["output"])["error"]
    assert error["Error"] == "DataError"
    assert json.loads(error["Cause"]) == {"errorType": "DataError", "errorMessage": "no mass"}


def test_an_error_that_nobody_catches_fails_the_execution(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    host.answers["works"] = lambda event: failed("DataError", "no mass")
    done = Machine(cloud, stack["role"], "fails", A=task(End=True)).run()
    assert (done["status"], done["error"]) == ("FAILED", "DataError")


def test_errors_of_the_service_are_repeated(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    def busy_once(event: Any) -> tuple[int, dict[str, str], Any]:
        return (429, {}, {"message": "busy"}) if len(host.of("works")) == 1 else (200, {}, "done")

    host.answers["works"] = busy_once
    retry = {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1}
    machine = Machine(
        cloud, stack["role"], "repeats", A=task(Retry=[retry], OutputPath="$.Payload", End=True)
    )
    done = machine.run()
    assert (done["status"], json.loads(done["output"])) == ("SUCCEEDED", "done")
    assert len(host.of("works")) == 2


def test_without_a_host_the_error_is_lambdas(cloud: LocalCloud, stack: dict[str, str]) -> None:
    catch = {"ErrorEquals": ["Lambda.ServiceException"], "ResultPath": "$.error", "Next": "B"}
    machine = Machine(
        cloud, stack["role"], "unserved", A=task(Catch=[catch], Next="B"), B={"Type": "Succeed"}
    )
    assert "no functions run" in json.loads(machine.run()["output"])["error"]["Cause"]


def test_states_and_functions_that_the_stacks_use(cloud: LocalCloud, stack: dict[str, str]) -> None:
    count = {
        "Type": "Pass",
        "Parameters": {
            "checks.$": "States.MathAdd($.loop.checks, 1)",
            "told.$": "States.Format('{}/{}', $.team, $.loop.checks)",
            "text.$": "States.JsonToString($.keys)",
        },
        "ResultPath": "$.loop",
        "Next": "Wait",
    }
    again = {"Variable": "$.loop.checks", "NumericLessThan": 2, "Next": "Count"}
    other = {"Or": [{"Variable": "$.team", "StringEquals": "a"},
                    {"Variable": "$.team", "StringEquals": "b"}], "Next": "Done"}  # fmt: skip
    machine = Machine(
        cloud, stack["role"], "counts",
        Begin={"Type": "Pass", "Result": {"checks": 0}, "ResultPath": "$.loop", "Next": "Count"},
        Count=count,
        Wait={"Type": "Wait", "Seconds": 1, "Next": "Which"},
        Which={"Type": "Choice", "Choices": [again, other], "Default": "Odd"},
        Odd={"Type": "Fail", "Error": "Odd", "Cause": "no team"},
        Done={"Type": "Succeed"},
    )  # fmt: skip
    done = machine.run({"team": "b", "keys": ["k 1"]})
    assert json.loads(done["output"])["loop"] == {"checks": 2, "told": "b/1", "text": '["k 1"]'}
    failed_one = machine.run({"team": "c", "keys": []})
    assert (failed_one["error"], failed_one["cause"]) == ("Odd", "no team")


def test_a_name_is_taken_once(cloud: LocalCloud, stack: dict[str, str]) -> None:
    wait = {"Type": "Wait", "Seconds": 20, "End": True}
    machine = Machine(cloud, stack["role"], "named", A=wait)
    first = machine.start({"a": 1}, name="one")
    assert machine.start({"a": 1}, name="one") == first
    with pytest.raises(machine.client.exceptions.ExecutionAlreadyExists):
        machine.start({"a": 2}, name="one")
    machine.client.stop_execution(executionArn=first)
    local_cloud.settled(lambda: machine.describe(first), "status")
    with pytest.raises(machine.client.exceptions.ExecutionAlreadyExists):
        machine.start({"a": 1}, name="one")


def test_hundreds_at_once_are_all_running_and_few_at_work(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def slow(event: Any) -> tuple[int, dict[str, str], Any]:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.05)
        with lock:
            busy -= 1
        return 200, {}, event

    host.answers["works"] = slow
    machine = Machine(cloud, stack["role"], "crowd", A=task(OutputPath="$.Payload", End=True))
    executions = [machine.start({"n": number}) for number in range(200)]
    statuses = {machine.describe(each)["status"] for each in executions[-5:]}
    assert statuses <= {"RUNNING", "SUCCEEDED"}
    for number, execution in enumerate(executions):
        done = local_cloud.settled(lambda each=execution: machine.describe(each), "status")
        assert (done["status"], json.loads(done["output"])) == ("SUCCEEDED", {"n": number})
    assert 2 < most <= AT_WORK


def test_executions_that_wait_take_nobodys_place(
    cloud: LocalCloud, host: FunctionHost, stack: dict[str, str]
) -> None:
    waiting = Machine(
        cloud, stack["role"], "waits", A={"Type": "Wait", "Seconds": 20, "Next": "B"},
        B={"Type": "Succeed"},
    )  # fmt: skip
    executions = [waiting.start() for _ in range(AT_WORK + 5)]
    quick = Machine(cloud, stack["role"], "quick", A=task(End=True))
    started = time.monotonic()
    assert quick.run()["status"] == "SUCCEEDED"
    assert time.monotonic() - started < 10
    for execution in executions:
        waiting.client.stop_execution(executionArn=execution)
    last = local_cloud.settled(lambda: waiting.describe(executions[-1]), "status")
    assert last["status"] == "ABORTED"


def test_places_are_given_in_turn_and_work_can_be_withdrawn() -> None:
    places, ended = Places(1), threading.Event()
    begun: list[str] = []

    def work(name: str) -> Any:
        def run() -> None:
            begun.append(name)
            ended.wait(5)

        return run

    first, second, third = work("first"), work("second"), work("third")
    for each in (first, second, third):
        places.start(each)
    assert places.withdraw(second)
    assert not places.withdraw(second)
    assert not places.withdraw(first)
    ended.set()
    deadline = time.monotonic() + 5
    while len(begun) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert begun == ["first", "third"]
