"""The state machines, executed by moto's interpreter of the States Language.

Functions are scripted, for it is the machines' own course that is tested here.
"""

from __future__ import annotations

import json
import re
import time

import pytest
from kit.templates import ROOT, resources, template

MACHINES = {"stagea": "stage-a", "stageb": "stage-b"}
ITEM = {"execution": "e", "bucket": "b", "team": "engineering", "dataset": "meteorites"}


def text(stack: str) -> str:
    return (ROOT / "cfn" / stack / "statemachine" / f"{MACHINES[stack]}.asl.json").read_text()


def declared(stack: str) -> dict:
    [machine] = resources(template(stack), "AWS::StepFunctions::StateMachine").values()
    return machine


class Fails(Exception):
    """A scripted function fails, as Lambda reports it."""


@pytest.fixture
def run(monkeypatch):
    """Executes a stack's machine: ``run(stack, functions, item)`` → status, output, calls made.

    ``functions``: name in DefinitionSubstitutions → callable of the event. Those that are missing
    give their input back.
    """
    import boto3
    from moto import mock_aws
    from moto.awslambda_simple.models import LambdaSimpleBackend
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_lambda as integration,
    )

    # A parameter of AWS's integration that moto does not know, and silently drops.
    known = integration._SUPPORTED_API_PARAM_BINDINGS["invoke"]
    monkeypatch.setitem(
        integration._SUPPORTED_API_PARAM_BINDINGS, "invoke", known | {"InvocationType"}
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    script: dict = {}
    calls: list[tuple[str, str]] = []

    def invoke(_self, function_name, _qualifier, body, headers, response_headers):
        name = function_name.rpartition(":")[2]
        kind = {key.lower(): value for key, value in dict(headers).items()}.get(
            "x-amz-invocation-type", "RequestResponse"
        )
        calls.append((name, kind))
        try:
            return json.dumps(script.get(name, lambda event: event)(json.loads(body))).encode()
        except Fails as failure:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": "DataError", "errorMessage": str(failure)}).encode()

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
    config = {"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config):
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
        role = role["Role"]["Arn"]
        functions = boto3.client("lambda")
        states = boto3.client("stepfunctions")

        def execute(stack: str, scripted: dict, item: dict) -> tuple[str, dict, list]:
            script.update(scripted)
            definition = text(stack).replace('"Seconds": 5', '"Seconds": 0')
            definition = definition.replace('"IntervalSeconds": 2', '"IntervalSeconds": 1')
            definition = definition.replace('"NumericGreaterThanEquals": 200', GIVES_UP)
            definition = definition.replace("${Partition}", "aws")
            definition = definition.replace("${GlueJobName}", "none")
            for name, value in declared(stack)["DefinitionSubstitutions"].items():
                if "Fn::GetAtt" in value:
                    arn = functions.create_function(
                        FunctionName=name,
                        PackageType="Image",
                        Code={"ImageUri": "registry/image:tag"},
                        Role=role,
                    )["FunctionArn"]
                    definition = definition.replace(f"${{{name}}}", arn)
            assert "${" not in definition
            machine = states.create_state_machine(name="m", definition=definition, roleArn=role)
            started = states.start_execution(
                stateMachineArn=machine["stateMachineArn"], input=json.dumps(item)
            )
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                done = states.describe_execution(executionArn=started["executionArn"])
                if done["status"] != "RUNNING":
                    return done["status"], json.loads(done.get("output") or "{}"), calls
                time.sleep(0.02)
            raise AssertionError(f"still running after {calls}")

        yield execute


GIVES_UP = '"NumericGreaterThanEquals": 3'


def names(calls: list[tuple[str, str]]) -> list[str]:
    return [name for name, _ in calls]


@pytest.mark.parametrize("stack", MACHINES)
def test_every_substitution_is_given_and_used(stack):
    machine = declared(stack)
    assert machine["DefinitionS3Location"] == f"statemachine/{MACHINES[stack]}.asl.json"
    used = set(re.findall(r"\$\{(\w+)\}", text(stack)))
    assert used == machine["DefinitionSubstitutions"].keys()


@pytest.mark.parametrize("stack", MACHINES)
def test_the_role_may_invoke_just_the_functions_of_the_machine(stack):
    given = declared(stack)["DefinitionSubstitutions"].values()
    wanted = [each for each in given if "Fn::GetAtt" in each]
    role = template(stack)["Resources"]["rMachineRole"]["Properties"]
    [invoking] = [
        each
        for each in role["Policies"][0]["PolicyDocument"]["Statement"]
        if each.get("Action") == "lambda:InvokeFunction"
    ]
    assert sorted(map(str, invoking["Resource"])) == sorted(map(str, wanted))


@pytest.mark.parametrize("stack", MACHINES)
def test_every_step_is_reached_repeats_what_is_transient_and_can_fail(stack):
    states = json.loads(text(stack))["States"]
    reached = {json.loads(text(stack))["StartAt"]}
    for state in states.values():
        reached |= set(re.findall(r'"(?:Next|Default)": "([^"]+)"', json.dumps(state)))
    assert reached == states.keys()
    for name, state in states.items():
        if state["Type"] != "Task":
            continue
        assert state["Retry"]
        if name == "Error path":  # the last resort: repeated whatever happens
            assert state["Retry"][0]["ErrorEquals"] == ["States.ALL"]
        else:
            [caught] = state["Catch"]
            assert caught == {
                "ErrorEquals": ["States.ALL"],
                "ResultPath": "$.error",
                "Next": "Error path",
            }


def test_stage_a_goes_its_way(run):
    script = {"ProcessObject": lambda item: {**item, "processed": {"key": "k"}}}
    status, output, calls = run("stagea", script, {**ITEM, "key": "k"})
    assert (status, output["processed"]) == ("SUCCEEDED", {"key": "k"})
    assert names(calls) == ["PreUpdate", "ProcessObject", "PostUpdate"]


@pytest.mark.parametrize("broken", ["PreUpdate", "ProcessObject", "PostUpdate"])
def test_stage_as_error_path_gets_item_and_reason(run, broken):
    def fail(_event):
        raise Fails("lacks id")

    seen = []
    script = {broken: fail, "Error": lambda item: seen.append(item) or item}
    status, _, calls = run("stagea", script, {**ITEM, "key": "k"})
    assert status == "FAILED"
    assert names(calls)[-2:] == [broken, "Error"]
    [item] = seen
    assert item["key"] == "k"
    assert item["error"]["Error"] == "DataError"
    assert json.loads(item["error"]["Cause"])["errorMessage"] == "lacks id"


def test_an_error_path_that_fails_is_repeated(run):
    attempts = []

    def fail(_event):
        raise Fails("lacks id")

    def record(item):
        attempts.append(item)
        if len(attempts) == 1:
            raise Fails("table is busy")
        return item

    status, _, _ = run("stagea", {"ProcessObject": fail, "Error": record}, {**ITEM, "key": "k"})
    assert (status, len(attempts)) == ("FAILED", 2)


def jobs(*answers):
    remaining = list(answers)

    def check(batch):
        job = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return {**batch, "job": job}

    return check


def test_stage_b_waits_for_the_job_it_started(run):
    check = jobs({"status": "RUNNING"}, {"status": "SUCCEEDED", "result": "r"})
    status, output, calls = run("stageb", {"CheckJob": check}, {**ITEM, "keys": ["k"]})
    assert status == "SUCCEEDED"
    assert output["job"] == {"status": "SUCCEEDED", "result": "r"}
    assert {name: output[name] for name in ITEM} == ITEM
    assert names(calls) == ["ProcessData", "CheckJob", "CheckJob", "CrawlData", "PostUpdate"]
    # Started and not waited for: what it returns is lost, what it records is read.
    assert dict(calls)["ProcessData"] == "Event"


def test_stage_bs_error_path_gets_what_the_job_recorded(run):
    seen = []
    check = jobs({"status": "FAILED", "error": "k: is not the expected CSV"})
    script = {"CheckJob": check, "Error": lambda batch: seen.append(batch) or batch}
    status, _, calls = run("stageb", script, {**ITEM, "keys": ["k"]})
    assert status == "FAILED"
    assert names(calls) == ["ProcessData", "CheckJob", "Error"]
    [batch] = seen
    assert batch["job"]["error"] == "k: is not the expected CSV"
    assert "error" not in batch
    assert batch["keys"] == ["k"]


def test_only_the_objects_that_a_job_left_out_take_the_error_path_and_after_the_others(run):
    seen = []
    job = {"status": "SUCCEEDED", "result": "r", "failed": {"k2": "is not the expected CSV"}}
    script = {"CheckJob": jobs(job), "Error": lambda batch: seen.append(batch) or batch}
    status, _, calls = run("stageb", script, {**ITEM, "keys": ["k1", "k2"]})
    assert status == "FAILED"
    assert names(calls) == ["ProcessData", "CheckJob", "CrawlData", "PostUpdate", "Error"]
    [batch] = seen
    assert batch["job"] == job
    assert "error" not in batch


def test_stage_b_gives_up_on_a_job_that_got_lost(run):
    seen = []
    script = {
        "CheckJob": jobs({"status": "RUNNING"}),
        "Error": lambda batch: seen.append(batch) or batch,
    }
    status, _, calls = run("stageb", script, {**ITEM, "keys": ["k"]})
    assert status == "FAILED"
    assert names(calls) == ["ProcessData", "CheckJob", "CheckJob", "CheckJob", "Error"]
    assert seen[0]["error"]["Error"] == "JobLost"


def test_stage_b_gives_up_only_when_the_job_can_run_no_more():
    states = json.loads(text("stageb"))["States"]
    [limit] = [
        choice["NumericGreaterThanEquals"]
        for choice in states["How is it going"]["Choices"]
        if "NumericGreaterThanEquals" in choice
    ]
    document = template("stageb")["Resources"]
    invocations = document["rProcessDataInvocations"]["Properties"]
    assert invocations["MaximumRetryAttempts"] == 0
    longest = (
        invocations["MaximumEventAgeInSeconds"]
        + document["rProcessDataFunction"]["Properties"]["Timeout"]
    )
    assert states["Wait"]["Seconds"] * limit > longest
