"""Every template: cfn-lint, sizes, and what each stack promises the others."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml
from kit.templates import INFRASTRUCTURE, ROOT, STACKS, TEMPLATES, find, parameters, resources
from kit.templates import template as read

TABLES = {
    "octagon-Pipelines-${pEnvironment}": "name",
    "octagon-Datasets-${pEnvironment}": "name",
    "octagon-ObjectMetadata-${pEnvironment}": "id",
    "octagon-PipelineExecutionHistory-${pEnvironment}": "id",
}


def test_the_stacks_are_those_of_the_seed():
    assert STACKS == ["common-cloudformation", "sdlf-engineering-meteorites", "stagea", "stageb"]


def test_cfn_lint_finds_nothing():
    command = [sys.executable, "-c", "import cfnlint.runner as r; r.main()", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (json.loads(done.stdout), done.returncode) == ([], 0), done.stderr


def test_cfn_lint_looks_at_every_template():
    patterns = yaml.safe_load((ROOT / ".cfnlintrc").read_text())["templates"]
    matched = {str(path.relative_to(ROOT)) for each in patterns for path in ROOT.glob(each)}
    assert matched == TEMPLATES.keys()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_fits_into_a_request(name):
    # CloudFormation quotas: "Template body size in a request". No bucket is needed to begin with.
    assert TEMPLATES[name].stat().st_size <= 51_200


@pytest.mark.parametrize("stack", STACKS)
def test_parameters_json_holds_what_has_no_default(stack):
    declared = read(stack)["Parameters"]
    required = {name for name, about in declared.items() if "Default" not in about}
    given = parameters(stack)
    assert given["Parameters"].keys() == required
    assert given.keys() == {"Parameters", "Tags", "StackPolicy"}
    for name, value in given["Parameters"].items():
        pattern = declared[name].get("AllowedPattern", ".*")
        assert re.fullmatch(pattern, value), name


def test_the_infrastructures_parameters_are_declared_and_complete():
    declared = read(INFRASTRUCTURE)["Parameters"]
    given = json.loads((ROOT / "codepipeline" / "parameters.json").read_text())["Parameters"]
    required = {name for name, about in declared.items() if "Default" not in about}
    assert required <= given.keys() <= declared.keys()
    assert {"pPrefix", "pAppCodeCommitRepositoryName", "pCommonLayerCodeCommitRepository"} <= (
        declared.keys()
    )
    assert declared["pPrefix"]["AllowedValues"] == ["dev", "stg", "prod"]


@pytest.mark.parametrize("stack", STACKS)
def test_stack_policies_deny_replacing_and_deleting_tables_and_buckets(stack):
    statements = parameters(stack)["StackPolicy"]["Statement"]
    [denied] = [each for each in statements if each["Effect"] == "Deny"]
    assert set(denied["Action"]) == {"Update:Replace", "Update:Delete"}
    kinds = denied["Condition"]["StringEquals"]["ResourceType"]
    assert {"AWS::DynamoDB::Table", "AWS::S3::Bucket"} <= set(kinds)
    assert [each["Action"] for each in statements if each["Effect"] == "Allow"] == ["Update:*"]


def test_tables_are_the_seeds_and_outlive_the_stack():
    common = read("common-cloudformation")
    tables = resources(common, "AWS::DynamoDB::Table")
    found = {
        each["TableName"]["Fn::Sub"]: each["KeySchema"][0]["AttributeName"]
        for each in tables.values()
    }
    assert found == TABLES
    for name in [*tables, "rDataKey"]:  # a table without its key is lost
        assert common["Resources"][name]["DeletionPolicy"] == "Retain"


def test_outputs_are_the_seeds():
    assert {"oCentralBucket", "oStageBucket"} <= read("common-cloudformation")["Outputs"].keys()
    urls = {
        f"o{side}CodeCommit{kind}RepoUrl"
        for side in ("CommonLayer", "App")
        for kind in ("Https", "Ssh", "HttpsGrc")
    }
    assert read(INFRASTRUCTURE)["Outputs"].keys() >= urls | {
        "oArtifactStore",
        "oArtifactStoreKMSKey",
        "oCommonLayerCodePipelineName",
        "oAppCodePipelineName",
        "oCommonLayerCodeBuildServerName",
        "oAppCodeBuildServerName",
        "oCodePipelineServiceRole",
    }


def test_every_import_is_exported_by_a_stack_that_is_deployed_before():
    exported: dict[str, str] = {}
    # The order of the pipeline's stages.
    for group in (["common-cloudformation"], ["stagea", "stageb"], ["sdlf-engineering-meteorites"]):
        for stack in group:
            for wanted in find(read(stack)["Resources"], "Fn::ImportValue"):
                assert wanted["Fn::Sub"] in exported, f"{stack}: {wanted}"
        for stack in group:
            for about in read(stack)["Outputs"].values():
                if "Export" in about:
                    exported[about["Export"]["Name"]["Fn::Sub"]] = stack
    assert exported.keys() >= {"${pEnvironment}-DataKeyArn", "${pEnvironment}-StageBucket"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_buckets_are_private_encrypted_and_versioned(name):
    document = read(name)
    protected = {
        policy["Bucket"]["Ref"] for policy in resources(document, "AWS::S3::BucketPolicy").values()
    }
    for bucket, about in resources(document, "AWS::S3::Bucket").items():
        assert set(about["PublicAccessBlockConfiguration"].values()) == {True}
        [rule] = about["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert about["VersioningConfiguration"]["Status"] == "Enabled"
        assert bucket in protected


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_holds_data_is_encrypted_with_a_key_of_ours(name):
    document = read(name)
    for kind, key in (
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::CodeBuild::Project", "EncryptionKey"),
    ):
        for resource, about in resources(document, kind).items():
            assert isinstance(about[key], dict), resource
    for resource, about in resources(document, "AWS::DynamoDB::Table").items():
        assert about["SSESpecification"]["SSEType"] == "KMS", resource
    for resource, about in resources(document, "AWS::Logs::LogGroup").items():
        assert "RetentionInDays" in about, resource


@pytest.mark.parametrize("stack", STACKS)
def test_every_dead_letter_queue_has_an_alarm(stack):
    document = read(stack)
    alarmed = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in resources(document, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "QueueName"
    }
    queues = resources(document, "AWS::SQS::Queue")
    dead_letters = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue in queues.values()
        if "RedrivePolicy" in queue
    }
    assert dead_letters == alarmed
    assert {name for name, queue in queues.items() if "RedrivePolicy" not in queue} == dead_letters
    for queue in queues.values():
        target = queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")
        if target:
            assert queues[target["Fn::GetAtt"][0]].get("FifoQueue") == queue.get("FifoQueue")


def test_s3_may_notify_the_queue_before_the_bucket_is_made():
    common = read("common-cloudformation")
    bucket = common["Resources"]["rCentralBucket"]
    assert bucket["DependsOn"] == "rRoutingQueuePolicy"
    [policy] = resources(common, "AWS::SQS::QueuePolicy").values()
    [statement] = policy["PolicyDocument"]["Statement"]
    named = statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::Sub"]
    assert named.endswith(f":{bucket['Properties']['BucketName']['Fn::Sub']}")
    [notified] = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert notified["Queue"] == statement["Resource"]
    # S3 notifies no FIFO queue.
    queue = notified["Queue"]["Fn::GetAtt"][0]
    assert "FifoQueue" not in common["Resources"][queue]["Properties"]
