"""The project's own application, by the commands alone: built, packaged, deployed, changed, rolled
back, destroyed. What is asserted is what is there."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from kit import pipeline, registries
from kit.pipeline import Run
from kit.templates import FUNCTIONS, ROOT, STACKS

from ci.home import Home
from ci.local.aws_apis import daemon
from ci.local.registry import Registry
from ci.planning.plan import LAYER_NAME

pytestmark = pytest.mark.e2e

PREFIX = f"own{uuid.uuid4().hex[:6]}"  # other runs push to the user's registry, too
INFRASTRUCTURE = "datalake-infra-resources"
SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())
TABLES = [
    f"octagon-{name}-{PREFIX}"
    for name in ("Datasets", "ObjectMetadata", "PipelineExecutionHistory", "Pipelines")
]
CHANGED = "stage-a-process-object"


@dataclass(frozen=True)
class Account:
    """A local cloud with the infrastructure stack, and a checkout of the application."""

    endpoint: str
    tree: Path
    out: Path
    registry: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=self.endpoint,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def run(self, *argv: str) -> Run:
        done = pipeline.run(
            self.out, *argv, "--source", str(self.tree), "--prefix", PREFIX,
            "--registry", self.registry,
            AWS_ENDPOINT_URL=self.endpoint, S3_BUCKET=self.bucket,
        )  # fmt: skip
        assert done.code == 0, done.err
        jsonschema.validate(done.report, SCHEMA)
        return done

    @property
    def bucket(self) -> str:
        outputs = self.client("cloudformation").describe_stacks(StackName=INFRASTRUCTURE)
        found = {each["OutputKey"]: each["OutputValue"] for each in outputs["Stacks"][0]["Outputs"]}
        return str(found["oArtifactStore"])

    def runs(self) -> dict[str, str]:
        """The digest that each deployed function runs."""
        functions = self.client("lambda")
        return {
            name: functions.get_function(FunctionName=f"{PREFIX}-{name}")["Code"][
                "ResolvedImageUri"
            ].partition("@")[2]
            for name in FUNCTIONS
        }

    def tagged(self, kind: str) -> dict[str, str]:
        """The digest of each function's image with a tag; of those that have it."""
        everything = {
            name: registries.tags(self.registry, f"{PREFIX}-{name}") for name in FUNCTIONS
        }
        tag = f"{kind}-{PREFIX}"
        return {name: tags[tag] for name, tags in everything.items() if tag in tags}


@pytest.fixture
def account(local_registry: Registry, base_image: str, tmp_path: Path) -> Iterator[Account]:
    tree = tmp_path / "tree"
    for room in ("cfn", "common_layer", "dockerfiles"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    home = Home(tmp_path / "home")
    cloud = daemon.ensure(home, os.environ, registry_host=local_registry.host)
    made = Account(cloud.endpoint, tree, tmp_path / "out", local_registry.host)
    cloudformation = made.client("cloudformation")
    made.client("s3").create_bucket(Bucket="bootstrap")
    body = (ROOT / "codepipeline/codepipeline.yaml").read_text()
    body = body.replace("AllowedValues: [dev, stg, prod]", f"AllowedValues: [{PREFIX}]")
    made.client("s3").put_object(Bucket="bootstrap", Key="infra", Body=body)
    cloudformation.create_stack(
        StackName=INFRASTRUCTURE, TemplateURL=f"{cloud.endpoint}/bootstrap/infra",
        Parameters=[{"ParameterKey": "pPrefix", "ParameterValue": PREFIX}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )  # fmt: skip
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=INFRASTRUCTURE, WaiterConfig={"Delay": 1}
    )
    yield made
    daemon.stop(home)
    for name in (*FUNCTIONS, LAYER_NAME):
        registries.clear(local_registry.host, f"{PREFIX}-{name}")


def test_from_the_sources_to_the_stacks_back_and_away(account: Account) -> None:
    account.run("layer")
    built = account.run("app")
    digests = {name: each["digest"] for name, each in built.functions.items()}

    deployed = account.run("deploy")
    assert {each["name"]: each["status"] for each in deployed.report["stacks"]} == dict.fromkeys(
        STACKS, "created"
    )
    order = "common-cloudformation; then stagea and stageb; then sdlf-engineering-meteorites"
    assert f"order: {order}" in deployed.err
    assert f"role of CloudFormation: arn:aws:iam::123456789012:role/pipeline/{PREFIX}/" in (
        deployed.err
    )
    assert account.runs() == digests
    assert account.tagged("deployed") == digests
    assert account.tagged("previous") == {}
    assert sorted(account.client("dynamodb").list_tables()["TableNames"]) == TABLES
    name = "/DataLake/engineering/main/StageAQueueUrl"
    url = account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert url in account.client("sqs").list_queues()["QueueUrls"]

    # One line of one function.
    handler = account.tree / "dockerfiles" / CHANGED / "src/lambda_function.py"
    handler.write_text(handler.read_text() + "\nCHANGED = True\n")
    account.run("app")
    updated = account.run("deploy")
    changes = [
        (stack["name"], change)
        for stack in updated.report["stacks"]
        for change in stack["change_set"]
    ]
    [(stack, change)] = changes
    function = next(each for each in updated.report["recorded"]["functions"]
                    if each["function"] == f"{PREFIX}-{CHANGED}")  # fmt: skip
    assert stack == "stagea"
    assert (change["action"], change["type"]) == ("modified", "AWS::Lambda::Function")
    assert change["physical_id"] == f"{PREFIX}-{CHANGED}"
    assert change["image"] == {"before": digests[CHANGED], "after": function["deployed"]}
    now = {**digests, CHANGED: function["deployed"]}
    assert now != digests
    assert account.runs() == now
    assert account.tagged("deployed") == now
    assert account.tagged("previous") == digests

    back = account.run("rollback")
    assert [
        change["physical_id"] for stack in back.report["stacks"] for change in stack["change_set"]
    ] == [f"{PREFIX}-{CHANGED}"]
    assert account.runs() == digests

    buckets = {each["Name"] for each in account.client("s3").list_buckets()["Buckets"]}
    lake = sorted(each for each in buckets if each.startswith(f"{PREFIX}-datalake-"))
    assert len(lake) == 3
    for key in ("a", "b", "a"):
        account.client("s3").put_object(Bucket=lake[0], Key=key, Body=b"x")
    gone = account.run("destroy")
    assert {each["status"] for each in gone.report["stacks"]} == {"deleted"}
    kept = {each["physical_id"]: each["type"] for each in gone.report["kept"]}
    assert sorted(each for each in kept if "Table" in kept[each]) == TABLES
    [key] = [each for each in kept if each not in TABLES]
    assert kept[key] == "AWS::KMS::Key"  # what the tables are encrypted with
    nothing_is_left(account, key)


def nothing_is_left(account: Account, key: str) -> None:
    """But the tables and their key, which are declared Retain, and what the test itself made."""
    assert sorted(account.client("dynamodb").list_tables()["TableNames"]) == TABLES
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("sqs").list_queues().get("QueueUrls", []) == []
    assert account.client("stepfunctions").list_state_machines()["stateMachines"] == []
    assert account.client("ssm").describe_parameters()["Parameters"] == []
    assert account.client("ecr").describe_repositories()["repositories"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("sns").list_topics()["Topics"] == []
    assert account.client("events").list_rules()["Rules"] == []
    assert account.client("glue").get_databases()["DatabaseList"] == []
    assert account.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    codecommit = account.client("codecommit")
    for name in ("AppCode", "CommonLayerCode"):
        with pytest.raises(codecommit.exceptions.RepositoryDoesNotExistException):
            codecommit.get_repository(repositoryName=f"{PREFIX}-{name}")
    assert account.client("codepipeline").list_pipelines()["pipelines"] == []
    assert account.client("iam").list_roles()["Roles"] == []
    buckets = [each["Name"] for each in account.client("s3").list_buckets()["Buckets"]]
    assert buckets == ["bootstrap"]
    keys = account.client("kms")
    states = {
        each["KeyId"]: keys.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"]
        for each in keys.list_keys()["Keys"]
    }
    assert states.pop(key) == "Enabled"
    assert set(states.values()) == {"PendingDeletion"}
    for name in (*FUNCTIONS, LAYER_NAME):
        assert registries.tags(account.registry, f"{PREFIX}-{name}") == {}
