"""Least privilege: every policy of every template, and what deployments need."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from kit.templates import (
    INFRASTRUCTURE,
    STACKS,
    TEMPLATES,
    branches,
    find,
    parameters,
    resources,
    template,
)

WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken": "logs in to the registry, before any repository is meant",
    "kms:CreateKey": "the key is still to come; the condition wants its tag",
    "kms:TagResource": "of the key to come, as CreateKey does it",
    "ec2:CreateNetworkInterface": "CodeBuild makes interfaces in subnets it looks up first",
    "ec2:DeleteNetworkInterface": "of interfaces whose ids are not known before",
    "ec2:DescribeDhcpOptions": "a question; EC2 knows no resource for it",
    "ec2:DescribeNetworkInterfaces": "a question; EC2 knows no resource for it",
    "ec2:DescribeSecurityGroups": "a question; EC2 knows no resource for it",
    "ec2:DescribeSubnets": "a question; EC2 knows no resource for it",
    "ec2:DescribeVpcs": "a question; EC2 knows no resource for it",
}
"""Actions that may have Resource '*', and why. Source: AWS Service Authorization Reference."""
WILDCARDS = {
    "dynamodb:Describe*",
    "events:Describe*",
    "events:List*",
    "kms:GetKey*",
    "lambda:GetFunction*",
    "lambda:PutFunction*",
    "lambda:UpdateFunction*",
    "logs:Describe*",
    "s3:Get*Configuration",
    "s3:GetBucket*",
    "sns:Get*",
    "sns:List*",
    "sqs:Get*",
    "sqs:List*",
}
"""Of the deployment role, on resources that bear our name: no action among them reads data."""
UNUSED = {
    "dynamodb:*Item": "import of a table from S3",
    "dynamodb:*KinesisStreamingDestination": "streams",
    "dynamodb:*ResourcePolicy": "resource policies",
    "dynamodb:*TableReplica": "global tables",
    "dynamodb:ImportTable": "import of a table from S3",
    "dynamodb:Query": "global tables",
    "dynamodb:Scan": "global tables",
    "ec2:*": "functions in a VPC",
    "elasticfilesystem:*": "file systems",
    "firehose:*": "log delivery",
    "glue:*Connection": "federated databases",
    "iam:*Boundary": "boundaries",
    "iam:*RolePolicy": "managed policies, which the role must not attach",
    "iam:CreateServiceLinkedRole": "global tables",
    "kinesis:*": "streams",
    "kms:DisableKey*": "keys that are taken out of use",
    "kms:ListAliases": "keys by alias",
    "lakeformation:*": "federated databases",
    "lambda:*CodeSigningConfig": "code signing, which images do not have",
    "lambda:AssociateRuntimeAlias": "runtimes, which images bring along",
    "lambda:GetLayerVersion": "layers, which images do not have",
    "lambda:PassCapacityProvider": "capacity providers",
    "lambda:PublishVersion": "versions",
    "lambda:PutRuntimeManagementConfig": "runtimes, which images bring along",
    "logs:*LogDelivery": "log delivery",
    "logs:*Policy": "data protection and index policies",
    "logs:*LogStream": "export of tables",
    "logs:PutBearerTokenAuthentication": "log delivery",
    "logs:PutLogEvents": "export of tables",
    "logs:PutLogGroupDeletionProtection": "deletion protection",
    "s3:*Metadata*": "metadata tables",
    "s3:*Object*": "objects",
    "s3:DeleteBucketAnalyticsConfiguration": "analytics",
    "s3:DeleteBucketCors": "CORS",
    "s3:DeleteBucketEncryption": "buckets without encryption",
    "s3:DeleteBucketLifecycle": "buckets without rules",
    "s3:DeleteBucketMetricsConfiguration": "metrics",
    "s3:DeleteBucketReplication": "replication",
    "s3:DeleteBucketWebsite": "websites",
    "s3:PutA*Configuration": "acceleration, analytics",
    "s3:PutBucketA*": "ACLs, attributes",
    "s3:PutBucketCORS": "CORS",
    "s3:PutBucketLogging": "access logs",
    "s3:PutBucketReplication": "replication",
    "s3:PutBucketWebsite": "websites",
    "s3:PutIn*Configuration": "tiering, inventory",
    "s3:PutMetricsConfiguration": "metrics",
    "s3:PutReplicationConfiguration": "replication",
    "s3:REST.PUT.OBJECT": "log delivery",
    "s3files:*": "file systems",
    "s3tables:*": "metadata tables",
    "sns:PutDataProtectionPolicy": "data protection",
}
"""What CloudFormation's handlers name for features that no stack of ours uses."""


def listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def statements(document: object) -> Iterator[dict]:
    for statement in listed(document["Statement"]):
        yield from branches(statement)


def identity_policies() -> Iterator[tuple[str, dict]]:
    for name in TEMPLATES:
        document = template(name)
        for resource, about in resources(document, "AWS::IAM::Role").items():
            for policy in about.get("Policies", []):
                for each in statements(policy["PolicyDocument"]):
                    yield f"{name} {resource}", each
        for resource, about in resources(document, "AWS::IAM::ManagedPolicy").items():
            for each in statements(about["PolicyDocument"]):
                yield f"{name} {resource}", each


def resource_policies() -> Iterator[tuple[str, dict]]:
    for name in TEMPLATES:
        document = template(name)
        for kind, key in (
            ("AWS::KMS::Key", "KeyPolicy"),
            ("AWS::S3::BucketPolicy", "PolicyDocument"),
            ("AWS::SQS::QueuePolicy", "PolicyDocument"),
            ("AWS::SNS::TopicPolicy", "PolicyDocument"),
            ("AWS::ECR::Repository", "RepositoryPolicyText"),
        ):
            for resource, about in resources(document, kind).items():
                for each in statements(about[key]):
                    yield f"{name} {resource}", each


IDENTITY = list(identity_policies())
RESOURCE = list(resource_policies())


def test_there_are_policies_to_look_at():
    assert len(IDENTITY) > 100
    assert len(RESOURCE) > 20
    seen = sum(len(list(find(template(name), "Statement"))) for name in TEMPLATES)
    trust = sum(len(resources(template(name), "AWS::IAM::Role")) for name in TEMPLATES)
    policies = {id(each) for _, each in IDENTITY + RESOURCE}
    assert seen - trust <= len(policies)


@pytest.mark.parametrize(("where", "statement"), IDENTITY)
def test_actions_are_named(where, statement):
    assert not {"NotAction", "NotResource"} & statement.keys()
    for action in listed(statement["Action"]):
        if "*" in action:
            assert "rDeploymentRole" in where, f"{where}: {action}"
            assert action in WILDCARDS


@pytest.mark.parametrize(("where", "statement"), IDENTITY)
def test_resources_are_named_where_the_service_knows_any(where, statement):
    for resource in listed(statement["Resource"]):
        if resource == "*":
            allowed = WITHOUT_RESOURCE.keys()
            assert set(listed(statement["Action"])) <= allowed, where
        elif isinstance(resource, dict) and "Fn::Sub" in resource:
            text = resource["Fn::Sub"]
            text = text if isinstance(text, str) else text[0]
            last = text.rpartition(":")[2]
            # Behind the account there is a name of ours, or a kind whose ids nobody knows before.
            assert (
                "${" in last
                or last in ("key/*", "network-interface/*", "*")
                or (last.startswith(("parameter/DataLake/", "stack/")) or last == "catalog")
            ), f"{where}: {text}"
            if last == "*":
                assert text.endswith(("event-source-mapping:*", "log-group:*")), f"{where}: {text}"


def test_no_exception_is_left_over():
    without = {
        action
        for _, statement in IDENTITY
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert without == WITHOUT_RESOURCE.keys()
    used = {a for _, each in IDENTITY for a in listed(each["Action"]) if "*" in a}
    assert used == WILDCARDS


def test_roles_are_passed_to_named_services_only():
    passing = [each for _, each in IDENTITY if "iam:PassRole" in listed(each["Action"])]
    assert len(passing) == 3
    for each in passing:
        assert listed(each["Action"]) == ["iam:PassRole"]
        assert each["Condition"]["StringEquals"]["iam:PassedToService"]


def test_creating_a_key_wants_the_tag_that_the_stack_has():
    [creating] = [each for _, each in IDENTITY if "kms:CreateKey" in listed(each["Action"])]
    assert creating["Condition"]["StringEquals"] == {"aws:RequestTag/application": "datalake"}
    # CloudFormation gives a stack's tags to its resources.
    assert parameters("common-cloudformation")["Tags"]["application"] == "datalake"


@pytest.mark.parametrize(("where", "statement"), RESOURCE)
def test_strangers_get_nothing(where, statement):
    principal = statement["Principal"]
    if statement["Effect"] == "Deny":
        return
    assert principal != "*", where
    if "Service" in principal:
        # Otherwise anybody could make the service do it for them.
        assert statement["Condition"], where
        assert not any(action.endswith(":*") for action in listed(statement["Action"])), where
    else:
        assert principal["AWS"]["Fn::Sub"].endswith(":${AWS::AccountId}:root"), where


@pytest.mark.parametrize("name", TEMPLATES)
def test_roles_are_assumed_by_services_or_by_one_workflow(name):
    for role, about in resources(template(name), "AWS::IAM::Role").items():
        [statement] = about["AssumeRolePolicyDocument"]["Statement"]
        if "Federated" in statement["Principal"]:
            wanted = statement["Condition"]["StringEquals"]
            assert wanted["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
            subject = wanted["token.actions.githubusercontent.com:sub"]["Fn::Sub"]
            assert subject == "repo:${pRepository}:ref:refs/heads/${pBranchName}"
        else:
            assert re.fullmatch(r"[a-z]+\.amazonaws\.com", statement["Principal"]["Service"]), role


def test_the_deployment_role_can_make_read_and_delete_what_the_stacks_consist_of():
    """By CloudFormation's own resource types: the actions that each one's handlers name."""
    kinds = {each["Type"] for stack in STACKS for each in template(stack)["Resources"].values()}
    role = template(INFRASTRUCTURE)["Resources"]["rDeploymentRole"]["Properties"]
    allowed = [
        action
        for policy in role["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
        for action in listed(each["Action"])
    ]
    schemas = _schemas(kinds)
    assert schemas.keys() == kinds
    missing: dict[str, set[str]] = {}
    excused = set()
    for kind, wanted in schemas.items():
        for action in wanted:
            if not any(fnmatch.fnmatchcase(action, each) for each in allowed):
                reasons = {each for each in UNUSED if fnmatch.fnmatchcase(action, each)}
                excused |= reasons
                if not reasons:
                    missing.setdefault(kind, set()).add(action)
    assert missing == {}
    assert excused == UNUSED.keys()


def _schemas(kinds: set[str]) -> dict[str, set[str]]:
    """The resource types' schemas, as cfn-lint brings them along."""
    found: dict[str, set[str]] = {}
    for path in (files("cfnlint") / "data" / "schemas" / "resources").iterdir():
        text = path.read_text()
        if not any(f'"{kind}"' in text for kind in kinds):
            continue
        schema = json.loads(text)
        if (kind := schema.get("typeName")) in kinds:
            for verb in schema["handlers"].keys() - {"list"}:
                found.setdefault(kind, set()).update(schema["handlers"][verb]["permissions"])
    return found
