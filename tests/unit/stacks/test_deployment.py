"""The stacks in moto, in the pipeline's order: what their expressions come to, and where one stack
finds another's resources. What moto does not make (policies, alarms, Glue) is not asked here."""

from __future__ import annotations

import json

import pytest
from kit.templates import FUNCTIONS, ROOT, parameters, resources, template

ORDER = ("common-cloudformation", "stagea", "stageb", "sdlf-engineering-meteorites")
ACCOUNT = "123456789012"
LAKE = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:dev"


@pytest.fixture(scope="module")
def aws():
    """boto3 clients of an account in which the stacks are deployed."""
    import boto3
    from moto import mock_aws

    with pytest.MonkeyPatch.context() as patch, mock_aws(config={"lambda": {"use_docker": False}}):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        for stack in ORDER:
            document = template(stack)
            for machine in resources(document, "AWS::StepFunctions::StateMachine").values():
                path = machine.pop("DefinitionS3Location")
                machine["DefinitionString"] = (ROOT / "cfn" / stack / path).read_text()
            given = parameters(stack)["Parameters"]
            boto3.client("cloudformation").create_stack(
                StackName=stack,
                TemplateBody=json.dumps(document),
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
                Capabilities=["CAPABILITY_IAM"],
            )
        yield boto3.client


def test_every_function_is_there_with_its_image(aws):
    functions = aws("lambda").list_functions()["Functions"]
    assert sorted(each["FunctionName"] for each in functions) == [f"dev-{n}" for n in FUNCTIONS]
    for name in FUNCTIONS:
        code = aws("lambda").get_function(FunctionName=f"dev-{name}")["Code"]
        registry = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
        assert code["ImageUri"] == f"{registry}/dev-{name}:latest"


def test_settings_name_what_is_there(aws):
    tables = set(aws("dynamodb").list_tables()["TableNames"])
    queues = set(aws("sqs").list_queues()["QueueUrls"])
    buckets = {each["Name"] for each in aws("s3").list_buckets()["Buckets"]}
    machines = {
        each["stateMachineArn"]
        for each in aws("stepfunctions").list_state_machines()["stateMachines"]
    }
    known = {"TABLE": tables, "URL": queues, "BUCKET": buckets, "MACHINE": machines}
    for each in aws("lambda").list_functions()["Functions"]:
        for name, value in each.get("Environment", {}).get("Variables", {}).items():
            if name == "GLUE_DATABASE":
                assert value == "datalake_dev_engineering"
            else:
                assert value in known[name.rpartition("_")[2]], name


def test_queues_are_found_where_the_library_looks(aws):
    found = {
        each["Name"]: each["Value"]
        for page in aws("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path="/DataLake", Recursive=True)
        for each in page["Parameters"]
    }
    url = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/dev-datalake-engineering-"
    assert found["/DataLake/engineering/main/StageAQueueUrl"] == f"{url}main-stage-a.fifo"
    dataset = "/DataLake/engineering/meteorites/StageB"
    assert found[f"{dataset}QueueUrl"] == f"{url}meteorites-stage-b.fifo"
    assert found[f"{dataset}DeadLetterQueueUrl"] == f"{url}meteorites-stage-b-dlq.fifo"


def test_the_schedule_calls_stage_b_for_its_dataset(aws):
    [rule] = aws("events").list_rules(NamePrefix="dev-datalake-engineering-meteorites")["Rules"]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    [target] = aws("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == f"{LAKE}-stage-b-routing"
    assert json.loads(target["Input"]) == {"team": "engineering", "dataset": "meteorites"}


def test_queues_feed_the_routing_functions(aws):
    mappings = {
        each["FunctionArn"].rpartition(":")[2]: each["EventSourceArn"].rpartition(":")[2]
        for each in aws("lambda").list_event_source_mappings()["EventSourceMappings"]
    }
    assert mappings == {
        "dev-routing-lambda": "dev-datalake-routing",
        "dev-stage-a-routing": "dev-datalake-engineering-main-stage-a.fifo",
    }
