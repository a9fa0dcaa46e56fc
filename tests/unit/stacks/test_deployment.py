"""The stacks in the local cloud, in the pipeline's order: their resources as their services tell
them, what a change changes, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from kit import local_cloud, own_stacks, registries
from kit.local_cloud import LocalCloud, change_set, changed
from kit.own_stacks import ORDER
from kit.templates import FUNCTIONS, ROOT, parameters

ACCOUNT = "123456789012"
LAKE = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:dev"
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
BUCKETS = [f"dev-datalake-{name}-{ACCOUNT}-us-east-1" for name in ("artifacts", "central", "stage")]
TABLES = [
    f"octagon-{name}-dev"
    for name in ("Datasets", "ObjectMetadata", "PipelineExecutionHistory", "Pipelines")
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def cloud(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud in which the stacks are deployed."""
    with local_cloud.running(tmp_path_factory.mktemp("home"), registry) as found:
        own_stacks.images(registry)
        for stack in ORDER:
            done = own_stacks.deploy(found, stack)
            assert done["StackStatus"] == "CREATE_COMPLETE", local_cloud.events(found, stack)
        yield found


def test_every_function_is_there_with_its_image(cloud: LocalCloud, registry: str) -> None:
    functions = cloud.client("lambda").list_functions()["Functions"]
    assert sorted(each["FunctionName"] for each in functions) == [f"dev-{n}" for n in FUNCTIONS]
    for name in FUNCTIONS:
        found = cloud.client("lambda").get_function(FunctionName=f"dev-{name}")
        assert found["Code"]["ImageUri"] == f"{ECR}/dev-{name}:latest"
        digest = registries.digest(registry, f"dev-{name}", "latest")
        assert found["Code"]["ResolvedImageUri"] == f"{ECR}/dev-{name}@{digest}"
        logs = found["Configuration"]["LoggingConfig"]["LogGroup"]
        assert logs == f"/aws/lambda/dev-{name}"
        assert found["Tags"]["application"] == "datalake"


def test_settings_name_what_is_there(cloud: LocalCloud) -> None:
    tables = set(cloud.client("dynamodb").list_tables()["TableNames"])
    queues = set(cloud.client("sqs").list_queues()["QueueUrls"])
    buckets = {each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]}
    machines = {
        each["stateMachineArn"]
        for each in cloud.client("stepfunctions").list_state_machines()["stateMachines"]
    }
    known = {"TABLE": tables, "URL": queues, "BUCKET": buckets, "MACHINE": machines}
    for each in cloud.client("lambda").list_functions()["Functions"]:
        for name, value in each.get("Environment", {}).get("Variables", {}).items():
            if name == "GLUE_DATABASE":
                assert value == "datalake_dev_engineering"
            else:
                assert value in known[name.rpartition("_")[2]], name


def test_queues_are_found_where_the_library_looks(cloud: LocalCloud) -> None:
    pages = cloud.client("ssm").get_paginator("get_parameters_by_path")
    found = {
        each["Name"]: each["Value"]
        for page in pages.paginate(Path="/DataLake", Recursive=True)
        for each in page["Parameters"]
    }
    url = f"{cloud.cloud.endpoint}/{ACCOUNT}/dev-datalake-engineering-"
    assert found["/DataLake/engineering/main/StageAQueueUrl"] == f"{url}main-stage-a.fifo"
    dataset = "/DataLake/engineering/meteorites/StageB"
    assert found[f"{dataset}QueueUrl"] == f"{url}meteorites-stage-b.fifo"
    assert found[f"{dataset}DeadLetterQueueUrl"] == f"{url}meteorites-stage-b-dlq.fifo"
    assert found["/DataLake/S3/CentralBucket"] == BUCKETS[1]


def test_the_schedule_calls_stage_b_for_its_dataset(cloud: LocalCloud) -> None:
    events = cloud.client("events")
    [rule] = events.list_rules(NamePrefix="dev-datalake-engineering-meteorites")["Rules"]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == f"{LAKE}-stage-b-routing"
    assert json.loads(target["Input"]) == {"team": "engineering", "dataset": "meteorites"}
    policy = cloud.client("lambda").get_policy(FunctionName="dev-stage-b-routing")["Policy"]
    [statement] = json.loads(policy)["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": rule["Arn"]}}


def test_queues_feed_the_routing_functions(cloud: LocalCloud) -> None:
    found = cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    mappings = {
        each["FunctionArn"].rpartition(":")[2]: each["EventSourceArn"].rpartition(":")[2]
        for each in found
    }
    assert mappings == {
        "dev-routing-lambda": "dev-datalake-routing",
        "dev-stage-a-routing": "dev-datalake-engineering-main-stage-a.fifo",
    }
    assert {tuple(each["FunctionResponseTypes"]) for each in found} == {
        ("ReportBatchItemFailures",)
    }


def test_buckets_are_private_encrypted_versioned_and_tell_of_new_objects(
    cloud: LocalCloud,
) -> None:
    s3 = cloud.client("s3")
    names = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert [name for name in sorted(names) if name != own_stacks.BUCKET] == BUCKETS
    for name in BUCKETS:
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        public = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert set(public.values()) == {True}
        [rule] = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        assert policy["Statement"][0]["Sid"] == "TlsOnly"
    told = s3.get_bucket_notification_configuration(Bucket=BUCKETS[1])["QueueConfigurations"]
    assert [each["QueueArn"].rpartition(":")[2] for each in told] == ["dev-datalake-routing"]
    s3.put_object(Bucket=BUCKETS[1], Key="engineering/meteorites/a b.json", Body=b"{}")
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="dev-datalake-routing")["QueueUrl"]
    bodies = [json.loads(each["Body"]) for each in sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]  # fmt: skip
    [record] = [record for body in bodies for record in body.get("Records", [])]
    assert record["s3"]["object"]["key"] == "engineering/meteorites/a+b.json"
    versions = s3.list_object_versions(Bucket=BUCKETS[1])["Versions"]
    s3.delete_object(Bucket=BUCKETS[1], Key=versions[0]["Key"], VersionId=versions[0]["VersionId"])


def test_tables_machines_alarms_roles_logs_and_the_catalogue(cloud: LocalCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    assert sorted(dynamodb.list_tables()["TableNames"]) == TABLES
    for name in TABLES:
        backups = dynamodb.describe_continuous_backups(TableName=name)
        backups = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert backups["PointInTimeRecoveryStatus"] == "ENABLED"
    machines = cloud.client("stepfunctions")
    for stack, other in (("a", "PreUpdate"), ("b", "ProcessData")):
        name = f"dev-datalake-engineering-main-stage-{stack}"
        arn = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:{name}"
        definition = machines.describe_state_machine(stateMachineArn=arn)["definition"]
        assert "${" not in definition
        assert LAKE in definition, other
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert len(alarms) == 5
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:dev-datalake-alarms"
    assert all(each["AlarmActions"] == [topic] for each in alarms)
    roles = cloud.client("iam").list_roles(PathPrefix="/datalake/dev/")["Roles"]
    assert len(roles) == len(FUNCTIONS) + 2
    pages = cloud.client("logs").get_paginator("describe_log_groups")
    groups = [each for page in pages.paginate(logGroupNamePrefix="/aws/lambda/dev-")
              for each in page["logGroups"]]  # fmt: skip
    assert {each["logGroupName"] for each in groups} == {f"/aws/lambda/dev-{n}" for n in FUNCTIONS}
    assert {each["retentionInDays"] for each in groups} == {30}
    [database] = cloud.client("glue").get_databases()["DatabaseList"]
    assert database["LocationUri"] == f"s3://{BUCKETS[2]}/post-stage/engineering/"


def update(cloud: LocalCloud, stack: str, **given: str) -> dict[str, str]:
    """What a change of parameters would change in a stack."""
    values = parameters(stack)["Parameters"] | given
    tags = [{"Key": k, "Value": v} for k, v in parameters(stack)["Tags"].items()]
    made = change_set(cloud, stack, None, values, UsePreviousTemplate=True, Tags=tags)
    cloud.client("cloudformation").delete_change_set(StackName=stack, ChangeSetName="c")
    assert made["Status"] == "CREATE_COMPLETE", made["StatusReason"]
    return changed(made)


def test_one_new_image_changes_exactly_its_function(cloud: LocalCloud, registry: str) -> None:
    digest = registries.push_image(registry, "dev-stage-a-error", "new", content="new")
    document = own_stacks.packaged(cloud, "stagea")
    document["Resources"]["rErrorFunction"]["Properties"]["Code"]["ImageUri"] = (
        f"{ECR}/dev-stage-a-error@{digest}"
    )
    tags = [{"Key": k, "Value": v} for k, v in parameters("stagea")["Tags"].items()]
    arguments: dict[str, Any] = {"TemplateURL": own_stacks.uploaded(cloud, "new", document),
                                 "Tags": tags}  # fmt: skip
    values = parameters("stagea")["Parameters"]
    made = change_set(cloud, "stagea", None, values, **arguments)
    assert changed(made) == {"rErrorFunction": "Modify"}
    assert local_cloud.execute(cloud, "stagea")["StackStatus"] == "UPDATE_COMPLETE"
    found = cloud.client("lambda").get_function(FunctionName="dev-stage-a-error")
    assert found["Code"]["ResolvedImageUri"] == f"{ECR}/dev-stage-a-error@{digest}"
    told = [name for name, _, _ in local_cloud.events(cloud, "stagea")]
    begun = [i for i, name in enumerate(told) if name == "stagea"][-3]
    assert set(told[begun:]) == {"stagea", "rErrorFunction"}
    again = change_set(cloud, "stagea", None, values, name="again", **arguments)
    assert again["StatusReason"].startswith("The submitted information didn't contain changes.")


def test_a_tag_for_all_changes_every_function_and_a_retention_every_log_group(
    cloud: LocalCloud,
) -> None:
    found = update(cloud, "stageb", pEcrImageTag="other")
    assert set(found) == {
        f"r{name}Function"
        for name in ("CheckJob", "CrawlData", "Error", "PostUpdate", "ProcessData", "Redrive",
                     "Routing")
    }  # fmt: skip
    assert set(found.values()) == {"Modify"}
    found = update(cloud, "stageb", pLogRetentionDays="7")
    assert len(found) == 7
    assert all(name.endswith("FunctionLogs") for name in found)


def test_another_environment_replaces_what_is_named_after_it(cloud: LocalCloud) -> None:
    found = update(cloud, "sdlf-engineering-meteorites", pDataset="comets")
    assert found["rQueue"] == "Modify True"
    assert found["rQueueParameter"] == "Modify True"
    assert "rDatabase" not in found


def test_the_stack_policy_keeps_tables_and_buckets(cloud: LocalCloud) -> None:
    stack = "common-cloudformation"
    cloudformation = cloud.client("cloudformation")
    policy = json.dumps(parameters(stack)["StackPolicy"])
    cloudformation.set_stack_policy(StackName=stack, StackPolicyBody=policy)
    document = own_stacks.packaged(cloud, stack)
    for name in ("rDatasetsTable", "rDatasetsTableParameter"):
        del document["Resources"][name]
    del document["Outputs"]["oDatasetsTable"]
    statement = document["Resources"]["rRoutingFunctionRole"]["Properties"]["Policies"][0]
    statement["PolicyDocument"]["Statement"].pop(2)
    environment = document["Resources"]["rRoutingFunction"]["Properties"]["Environment"]
    del environment["Variables"]["DATASETS_TABLE"]
    url = own_stacks.uploaded(cloud, "without", document)
    change_set(cloud, stack, None, parameters(stack)["Parameters"], TemplateURL=url)
    assert local_cloud.execute(cloud, stack)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reasons = [r for n, s, r in local_cloud.events(cloud, stack)
               if (n, s) == ("rDatasetsTable", "UPDATE_FAILED")]  # fmt: skip
    assert "does not allow [Update:Delete]" in reasons[0]
    assert "octagon-Datasets-dev" in cloud.client("dynamodb").list_tables()["TableNames"]


def test_the_infrastructure_with_all_that_it_declares(cloud: LocalCloud) -> None:
    stack = own_stacks.deploy_infrastructure(cloud)
    name = own_stacks.INFRASTRUCTURE_STACK
    assert stack["StackStatus"] == "CREATE_COMPLETE", local_cloud.events(cloud, name)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert outputs["oArtifactStore"] == f"dev-pipeline-artifacts-{ACCOUNT}-us-east-1"
    assert outputs["oAppCodePipelineName"] == "dev-app"
    assert outputs["oAppCodeCommitHttpsGrcRepoUrl"] == "codecommit::us-east-1://dev-AppCode"
    ecr = cloud.client("ecr")
    repositories = ecr.describe_repositories()["repositories"]
    assert len(repositories) == len(FUNCTIONS) + 1
    for each in repositories:
        assert each["imageTagMutability"] == "MUTABLE_WITH_EXCLUSION"
        assert each["encryptionConfiguration"]["encryptionType"] == "KMS"
        assert ecr.get_lifecycle_policy(repositoryName=each["repositoryName"])
    pipelines = cloud.client("codepipeline")
    app = pipelines.get_pipeline(name="dev-app")["pipeline"]
    assert [each["name"] for each in app["stages"]] == [
        "Source", "Build", "Common", "Stages", "Datasets", "Record"
    ]  # fmt: skip
    projects = cloud.client("codebuild").list_projects()["projects"]
    assert sorted(projects) == ["dev-app", "dev-common-layer", "dev-record"]
    rules = cloud.client("events").list_rules(NamePrefix=name[:5])["Rules"]
    assert len([each for each in rules if "EventPattern" in each]) == 4

    # What runs the pipelines reads them as they are declared, resolved.
    place = f"{cloud.cloud.endpoint}/_local/stacks/{name}/resources"
    found = httpx.get(place, trust_env=False).json()
    declared = found["rAppCodePipeline"]["Properties"]
    assert declared["ExecutionMode"] == "QUEUED"
    source = declared["Stages"][0]["Actions"][0]
    assert source["Configuration"]["RepositoryName"] == "dev-AppCode"
    project = found["rAppCodeBuildServer"]["Properties"]
    assert project["Cache"]["Modes"] == ["LOCAL_SOURCE_CACHE", "LOCAL_DOCKER_LAYER_CACHE"]
    variables = {
        each["Name"]: each["Value"] for each in project["Environment"]["EnvironmentVariables"]
    }
    assert variables["ECR_COMMON_DATALAKE_REPO_URL"] == f"{ECR}/dev-common-datalake-library"
    assert variables["S3_BUCKET"] == outputs["oArtifactStore"]

    made = change_set(cloud, name, None, {
        "pPrefix": "dev", "pApproval": "true"}, UsePreviousTemplate=True)  # fmt: skip
    assert changed(made) == {"rAppCodePipeline": "Modify"}
    incomplete = {"pPrefix": "dev", "pSourceProvider": "CodeConnections"}
    cloudformation = cloud.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError, match="CodeConnections needs pConn"):
        change_set(cloud, name, None, incomplete, "d", UsePreviousTemplate=True)


def test_the_role_of_a_workflow(cloud: LocalCloud) -> None:
    values = {"pPrefix": "dev", "pRepository": "own/er", "pArtifactStore": "b",
              "pArtifactStoreKMSKey": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k",
              "pDeploymentRole": f"arn:aws:iam::{ACCOUNT}:role/r"}  # fmt: skip
    text = (ROOT / "codepipeline" / "github-oidc.yaml").read_text()
    stack = local_cloud.deploy(cloud, "oidc", text, values)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    [provider] = cloud.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    name = stack["Outputs"][0]["OutputValue"].rpartition("/")[2]
    role = cloud.client("iam").get_role(RoleName=name)["Role"]
    federated = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Federated"]
    assert federated == provider["Arn"]


def test_the_way_back_in_the_order_of_the_imports(cloud: LocalCloud) -> None:
    kept = local_cloud.delete(cloud, "common-cloudformation")
    assert kept["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    assert "cannot be deleted as it is in use by" in kept["StackStatusReason"]
    for stack in reversed(ORDER):
        done = local_cloud.delete(cloud, stack)
        assert done["StackStatus"] == "DELETE_COMPLETE", done.get("StackStatusReason")
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
    assert cloud.client("glue").get_databases()["DatabaseList"] == []
    assert cloud.client("stepfunctions").list_state_machines()["stateMachines"] == []
    names = [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    assert not set(names) & set(BUCKETS)
    # Declared to outlive the stack: the tables, and the key of what is in them.
    assert sorted(cloud.client("dynamodb").list_tables()["TableNames"]) == TABLES
    # The repositories hold images still.
    name = own_stacks.INFRASTRUCTURE_STACK
    assert local_cloud.delete(cloud, name)["StackStatus"] == "DELETE_FAILED"
    ecr = cloud.client("ecr")
    for repository in ecr.describe_repositories()["repositories"]:
        about = {"repositoryName": repository["repositoryName"]}
        if ids := ecr.list_images(**about)["imageIds"]:
            digests = {each["imageDigest"] for each in ids}
            ecr.batch_delete_image(**about, imageIds=[{"imageDigest": each} for each in digests])
    assert local_cloud.delete(cloud, name)["StackStatus"] == "DELETE_COMPLETE"
