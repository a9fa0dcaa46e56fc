"""Declared pipelines, as small as they can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Properties = dict[str, Any]


def action(
    name: str,
    category: str = "Deploy",
    provider: str = "CloudFormation",
    *,
    order: int = 1,
    takes: list[str] | None = None,
    gives: list[str] | None = None,
    namespace: str = "",
    **configuration: str,
) -> Properties:
    declared: Properties = {
        "Name": name,
        "ActionTypeId": {
            "Category": category, "Owner": "AWS", "Provider": provider, "Version": "1",
        },
        "Configuration": configuration,
        "RunOrder": order,
    }  # fmt: skip
    if takes:
        declared["InputArtifacts"] = [{"Name": each} for each in takes]
    if gives:
        declared["OutputArtifacts"] = [{"Name": each} for each in gives]
    if namespace:
        declared["Namespace"] = namespace
    return declared


def source(**more: Any) -> Properties:
    given = {
        "gives": ["Code"], "namespace": "Source", "RepositoryName": "code", "BranchName": "main",
    } | more  # fmt: skip
    return action("Source", "Source", "CodeCommit", **given)


def build(**more: Any) -> Properties:
    given = {"takes": ["Code"], "gives": ["Built"]} | more
    return action("Build", "Build", "CodeBuild", **({"ProjectName": "project"} | given))


def change_set(**more: Any) -> Properties:
    given = {
        "takes": ["Built"], "ActionMode": "CHANGE_SET_REPLACE", "StackName": "stack",
        "ChangeSetName": "pipeline", "TemplatePath": "Built::template.yaml", "RoleArn": "arn:role",
    } | more  # fmt: skip
    return action("ChangeSet", **given)


def execute(**more: Any) -> Properties:
    given = {
        "order": 2, "ActionMode": "CHANGE_SET_EXECUTE", "StackName": "stack",
        "ChangeSetName": "pipeline",
    } | more  # fmt: skip
    return action("Execute", **given)


def pipeline(stages: Mapping[str, list[Properties]], **more: Any) -> Properties:
    return {
        "Name": "pipeline",
        "PipelineType": "V2",
        "ExecutionMode": "QUEUED",
        "RoleArn": "arn:aws:iam::123456789012:role/pipeline",
        "ArtifactStore": {"Type": "S3", "Location": "artifacts"},
        "Stages": [{"Name": name, "Actions": actions} for name, actions in stages.items()],
    } | more


def good() -> dict[str, list[Properties]]:
    """Stages with which nothing is wrong."""
    return {"Source": [source()], "Build": [build()], "Deploy": [change_set(), execute()]}


def good_at(name: str) -> dict[str, list[Properties]]:
    """The same, with the names that ``infrastructure`` gives what they refer to."""
    role = {"Fn::GetAtt": ["rRole", "Arn"]}
    stack = f"{name}-stack"
    return {
        "Source": [source(RepositoryName=f"{name}-code")],
        "Build": [build(ProjectName=f"{name}-project")],
        "Deploy": [change_set(StackName=stack, RoleArn=role), execute(StackName=stack)],
    }


QUEUE = """\
Parameters:
  pName: {Type: String}
Resources:
  rQueue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref pName}}
Outputs:
  oQueue: {Value: !GetAtt rQueue.QueueName}
"""
BUILD = """\
version: 0.2
phases:
  build:
    commands: [sh build.sh]
artifacts: {files: ['**/*']}
"""


def infrastructure(stages: Mapping[str, list[Properties]], name: str, **more: Any) -> Properties:
    """A template with one pipeline, what it works with, and the rules that start it.

    Names are those that ``action`` and its kind use, with ``name`` before them.
    """
    trust = [
        {"Effect": "Allow", "Action": "sts:AssumeRole",
         "Principal": {"Service": f"{service}.amazonaws.com"}}
        for service in ("codepipeline", "codebuild", "events", "cloudformation")
    ]  # fmt: skip
    role = {"Fn::GetAtt": ["rRole", "Arn"]}
    arn = {"Fn::Sub": f"arn:aws:codepipeline:${{AWS::Region}}:${{AWS::AccountId}}:{name}"}

    def rule(pattern: Properties, action: str, kind: str, path: str) -> Properties:
        template = {"sourceRevisions": [
            {"actionName": action, "revisionType": kind, "revisionValue": "<revision>"}
        ]}  # fmt: skip
        transformer = {
            "InputPathsMap": {"revision": path}, "InputTemplate": json.dumps(template),
        }  # fmt: skip
        target = {"Id": "pipeline", "Arn": arn, "RoleArn": role, "InputTransformer": transformer}
        return {"EventPattern": pattern, "Targets": [target]}

    def resource(kind: str, **properties: Any) -> Properties:
        return {"Type": kind, "Properties": properties}

    declared = pipeline(stages, **({"RoleArn": role} | more))
    declared["Name"] = name
    declared["ArtifactStore"]["Location"] = {"Ref": "rStore"}
    failed = {"state": ["FAILED"], "pipeline": [name]}
    return {
        "Resources": {
            "rStore": resource("AWS::S3::Bucket", BucketName=f"{name}-artifacts"),
            "rRole": resource("AWS::IAM::Role", RoleName=f"{name}-role",
                              AssumeRolePolicyDocument={"Version": "2012-10-17",
                                                        "Statement": trust}),
            "rTopic": resource("AWS::SNS::Topic", TopicName=f"{name}-told"),
            "rCode": resource("AWS::CodeCommit::Repository", RepositoryName=f"{name}-code"),
            "rImages": resource("AWS::ECR::Repository", RepositoryName=f"{name}-layer"),
            "rProject": resource(
                "AWS::CodeBuild::Project", Name=f"{name}-project", ServiceRole=role,
                Source={"Type": "CODEPIPELINE", "BuildSpec": BUILD},
                Artifacts={"Type": "CODEPIPELINE"},
                Environment={"Type": "LINUX_CONTAINER", "Image": "image:6",
                             "ComputeType": "BUILD_GENERAL1_SMALL",
                             "EnvironmentVariables": [{"Name": "OF_PROJECT", "Value": "given"}]},
            ),
            "rPipeline": {"Type": "AWS::CodePipeline::Pipeline", "Properties": declared},
            "rPushRule": resource("AWS::Events::Rule", **rule(
                {"source": ["aws.codecommit"], "resources": [{"Fn::GetAtt": ["rCode", "Arn"]}],
                 "detail": {"referenceName": ["main"]}},
                "Source", "COMMIT_ID", "$.detail.commitId")),
            "rImageRule": resource("AWS::Events::Rule", **rule(
                {"source": ["aws.ecr"], "detail": {"repository-name": [f"{name}-layer"],
                                                   "image-tag": ["latest"]}},
                "Image", "IMAGE_DIGEST", "$.detail.image-digest")),
            "rFailureRule": resource(
                "AWS::Events::Rule",
                EventPattern={"source": ["aws.codepipeline"], "detail": failed},
                Targets=[{"Id": "topic", "Arn": {"Ref": "rTopic"}, "InputTransformer": {
                    "InputPathsMap": {"pipeline": "$.detail.pipeline"},
                    "InputTemplate": '"Pipeline <pipeline> failed"'}}]),
        }
    }  # fmt: skip
