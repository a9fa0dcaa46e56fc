"""Directories, image repositories and functions of the stacks are the same, and each function
gets what its handler asks for: its settings, its rights, and no more."""

from __future__ import annotations

import fnmatch
from collections import Counter

import pytest
from kit import handlers
from kit.templates import FUNCTIONS, INFRASTRUCTURE, ROOT, STACKS, branches, resources, template

from ci import drift
from ci.planning.plan import LAYER_NAME

POLLED = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""What Lambda does to read a queue. Source: managed policy AWSLambdaSQSQueueExecutionRole."""
EVERYWHERE = {"logs:CreateLogStream", "logs:PutLogEvents", "kms:Decrypt", "kms:GenerateDataKey"}
VALUES = {
    "pEnvironment": "dev",
    "pTeam": "engineering",
    "pPipeline": "main",
    "pDataset": "meteorites",
}
DECLARED = {
    about["FunctionName"]["Fn::Sub"].removeprefix("${pEnvironment}-"): (stack, resource, about)
    for stack in STACKS
    for resource, about in resources(template(stack), "AWS::Lambda::Function").items()
}


def statements(function: str) -> list[dict]:
    stack, _, about = DECLARED[function]
    role = template(stack)["Resources"][about["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert "ManagedPolicyArns" not in role
    return [each for p in role["Policies"] for each in p["PolicyDocument"]["Statement"]]


def actions(statement: dict) -> set[str]:
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def test_directories_repositories_and_stacks_agree():
    assert drift.find(ROOT, FUNCTIONS, LAYER_NAME) == []


def test_every_directory_has_one_repository_and_one_function():
    repositories = [
        about["RepositoryName"]["Fn::Sub"]
        for about in resources(template(INFRASTRUCTURE), "AWS::ECR::Repository").values()
    ]
    wanted = [f"${{pPrefix}}-{name}" for name in [*FUNCTIONS, LAYER_NAME]]
    assert Counter(repositories) == Counter(wanted)
    run = [
        about["FunctionName"]["Fn::Sub"]
        for stack in STACKS
        for about in resources(template(stack), "AWS::Lambda::Function").values()
    ]
    assert Counter(run) == Counter(f"${{pEnvironment}}-{name}" for name in FUNCTIONS)


def test_stages_have_their_functions():
    stacks = Counter(stack for stack, _, _ in DECLARED.values())
    assert stacks == {"common-cloudformation": 2, "stagea": 6, "stageb": 7}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_image_is_that_of_the_directory(function):
    _, _, about = DECLARED[function]
    assert about["PackageType"] == "Image"
    for uri in branches(about["Code"]["ImageUri"]):
        name = uri["Fn::Sub"].rpartition("/")[2]
        assert name == f"${{pEnvironment}}-{function}:${{pEcrImageTag}}"


def test_the_library_calls_no_service_that_is_not_known_here():
    assert handlers.methods() == handlers.ACTIONS.keys()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_settings_are_exactly_those_that_the_handler_reads(function):
    _, _, about = DECLARED[function]
    variables = about.get("Environment", {}).get("Variables", {})
    assert variables.keys() == handlers.needs(function).settings


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rights_are_exactly_those_that_the_handler_uses(function):
    stack, resource, _ = DECLARED[function]
    polls = any(
        about["FunctionName"] == {"Ref": resource}
        for about in resources(template(stack), "AWS::Lambda::EventSourceMapping").values()
    )
    allowed = {action for each in statements(function) for action in actions(each)}
    tells = any(
        about["FunctionName"] == {"Ref": resource} and "DestinationConfig" in about
        for about in resources(template(stack), "AWS::Lambda::EventInvokeConfig").values()
    )
    needed = handlers.needs(function).actions | EVERYWHERE | (POLLED if polls else set())
    assert allowed == needed | ({"lambda:InvokeFunction"} if tells else set())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_parameters_that_the_handler_looks_up_are_readable(function):
    def shape(path: str) -> tuple[str, str]:
        parts = path.split("/")
        return parts[-4], parts[-1]

    wanted = {shape(path) for path in handlers.needs(function).parameters}
    readable = set()
    for each in statements(function):
        if "ssm:GetParameter" in actions(each):
            given = each["Resource"]
            for one in given if isinstance(given, list) else [given]:
                readable.add(shape(one["Fn::Sub"].partition("parameter")[2]))
    if function == "routing-lambda":  # of any team and pipeline
        readable = {("DataLake", name) for _, name in readable}
    assert readable == wanted


def test_parameters_that_handlers_look_up_are_written_by_stacks():
    written = {
        about["Name"]["Fn::Sub"].rpartition("/")[2]
        for stack in STACKS
        for about in resources(template(stack), "AWS::SSM::Parameter").values()
        if isinstance(about["Name"], dict)
    }
    wanted = {
        path.rpartition("/")[2]
        for function in FUNCTIONS
        for path in handlers.needs(function).parameters
    }
    assert wanted == {"StageAQueueUrl", "StageBQueueUrl", "StageBDeadLetterQueueUrl"}
    assert wanted <= written


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_are_the_functions_own(function):
    stack, resource, about = DECLARED[function]
    logs = template(stack)["Resources"][about["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
    assert logs["LogGroupName"]["Fn::Sub"] == f"/aws/lambda/${{pEnvironment}}-{function}"
    [written] = [s for s in statements(function) if "logs:PutLogEvents" in actions(s)]
    assert written["Resource"] == {"Fn::GetAtt": [f"{resource}Logs", "Arn"]}


def test_no_two_functions_share_a_role():
    roles = Counter(
        (stack, about["Role"]["Fn::GetAtt"][0]) for stack, _, about in DECLARED.values()
    )
    assert set(roles.values()) == {1}


@pytest.mark.parametrize("stack", STACKS)
def test_queues_outwait_their_functions_and_take_back_single_messages(stack):
    document = template(stack)
    for about in resources(document, "AWS::Lambda::EventSourceMapping").values():
        assert about["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        queue = document["Resources"][about["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        function = document["Resources"][about["FunctionName"]["Ref"]]["Properties"]
        # Source: AWS Lambda Developer Guide, "Configuring a queue to use with Lambda".
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]


def test_a_batch_that_stage_b_gathers_stays_hidden_while_it_does():
    queue = template("sdlf-engineering-meteorites")["Resources"]["rQueue"]["Properties"]
    _, _, routing = DECLARED["stage-b-routing"]
    assert queue["VisibilityTimeout"] > routing["Timeout"]
    # A message that is given back for want of company counts as received.
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 1000


def test_queue_names_match_the_patterns_of_those_who_use_them():
    names = {}
    for stack in STACKS:
        for about in resources(template(stack), "AWS::SQS::Queue").values():
            name = about["QueueName"]["Fn::Sub"]
            for variable, value in VALUES.items():
                name = name.replace(f"${{{variable}}}", value)
            names[name] = bool(about.get("FifoQueue"))
    assert all(name.endswith(".fifo") == fifo for name, fifo in names.items())
    used = {
        "routing-lambda": "dev-datalake-engineering-main-stage-a.fifo",
        "stage-a-postupdate-metadata": "dev-datalake-engineering-meteorites-stage-b.fifo",
        "stage-b-routing": "dev-datalake-engineering-meteorites-stage-b.fifo",
        "stage-b-error": "dev-datalake-engineering-meteorites-stage-b-dlq.fifo",
    }
    for function, queue in used.items():
        assert queue in names
        patterns = []
        for each in statements(function):
            if any(action.startswith("sqs:") for action in actions(each)):
                text = each["Resource"].get("Fn::Sub", "")
                for variable, value in VALUES.items():
                    text = text.replace(f"${{{variable}}}", value)
                patterns.append(text.rpartition(":")[2])
        matching = [p for p in patterns if p and fnmatch.fnmatchcase(queue, p)]
        assert matching, function
        for pattern in matching:  # and no dead-letter queue where the queue is meant
            other = queue.replace(".fifo", "-dlq.fifo")
            assert queue.endswith("-dlq.fifo") or not fnmatch.fnmatchcase(other, pattern)
