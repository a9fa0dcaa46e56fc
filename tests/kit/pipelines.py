"""Declared pipelines, as small as they can be."""

from __future__ import annotations

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
    given = {"gives": ["Code"], "namespace": "Source"} | more
    return action(
        "Source", "Source", "CodeCommit", RepositoryName="code", BranchName="main", **given
    )


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
