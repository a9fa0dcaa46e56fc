"""AWS::CodeCommit, AWS::CodeBuild, AWS::CodePipeline.

Source: AWS CloudFormation Template Reference, "AWS CodeCommit", "AWS CodeBuild" and "AWS
CodePipeline".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed


def _create_repository(work: Work) -> Product:
    given = work.given("KmsKeyId", "RepositoryName", "RepositoryDescription")
    if work.tags:
        given["tags"] = dict(work.tags)
    made = work.call("codecommit", "create_repository", **given)["repositoryMetadata"]
    attributes = {
        "Arn": work.arn("codecommit", str(work.properties["RepositoryName"])),
        "CloneUrlHttp": made["cloneUrlHttp"],
        "CloneUrlSsh": made["cloneUrlSsh"],
        "Name": str(work.properties["RepositoryName"]),
        "RepositoryId": made["repositoryId"],
    }
    return Product(made["repositoryId"], attributes)


def _keep(work: Work) -> Product:
    """Nothing that moto's API could change."""
    return Product(work.physical_id, work.attributes)


def _delete_repository(work: Work) -> None:
    name = str(work.attributes["Name"])
    with work.absent("codecommit", "RepositoryDoesNotExistException"):
        work.call("codecommit", "delete_repository", repositoryName=name)


_PROJECT = (
    "Artifacts", "BadgeEnabled", "Cache", "ConcurrentBuildLimit", "Description", "EncryptionKey",
    "Environment", "FileSystemLocations", "LogsConfig", "QueuedTimeoutInMinutes",
    "SecondaryArtifacts", "SecondarySourceVersions", "SecondarySources", "ServiceRole", "Source",
    "SourceVersion", "TimeoutInMinutes", "VpcConfig",
)  # fmt: skip


def _project(work: Work) -> dict[str, Any]:
    """What moto's CreateProject takes; the engine's own store has the rest."""
    given = work.given("Artifacts", "Description", "EncryptionKey", "Environment", "LogsConfig",
                       "ServiceRole", "Source", "TimeoutInMinutes", "QueuedTimeoutInMinutes",
                       "SourceVersion", "VpcConfig", "Cache")  # fmt: skip
    # moto wants a location of every source and of all artifacts, CodePipeline's too.
    for part in ("Artifacts", "Source"):
        given[part] = {"Location": "codepipeline", **given[part]}
    return given


def _create_project(work: Work) -> Product:
    name = work.properties.get("Name") or work.name()
    tags = {"tags": listed(work.tags, "key", "value")} if work.tags else {}
    work.call("codebuild", "create_project", name=name, **_project(work), **tags)
    return Product(name, {"Arn": work.arn("codebuild", f"project/{name}"), "Id": name})


def _update_project(work: Work) -> Product:
    work.call("codebuild", "delete_project", name=work.physical_id)
    tags = {"tags": listed(work.tags, "key", "value")} if work.tags else {}
    work.call("codebuild", "create_project", name=work.physical_id, **_project(work), **tags)
    return Product(work.physical_id, work.attributes)


def _delete_project(work: Work) -> None:
    work.call("codebuild", "delete_project", name=work.physical_id)


_PIPELINE = (
    "ArtifactStore", "ArtifactStores", "ExecutionMode", "PipelineType", "RoleArn", "Stages",
    "Triggers", "Variables",
)  # fmt: skip


def _create_pipeline(work: Work) -> Product:
    name = work.properties.get("Name") or work.name(100)
    tags = {"tags": listed(work.tags, "key", "value")} if work.tags else {}
    work.call("codepipeline", "create_pipeline", pipeline=_pipeline(work, name), **tags)
    return Product(name, {"Arn": work.arn("codepipeline", name), "Version": "1"})


def _update_pipeline(work: Work) -> Product:
    work.call("codepipeline", "update_pipeline", pipeline=_pipeline(work, work.physical_id))
    if differ(work):
        arn = work.attributes["Arn"]
        if gone := removed(work):
            work.call("codepipeline", "untag_resource", resourceArn=arn, tagKeys=gone)
        if work.tags:
            work.call("codepipeline", "tag_resource", resourceArn=arn,
                      tags=listed(work.tags, "key", "value"))  # fmt: skip
    version = str(int(work.attributes.get("Version", "1")) + 1)
    return Product(work.physical_id, {**work.attributes, "Version": version})


def _pipeline(work: Work, name: str) -> dict[str, Any]:
    for stage in work.properties["Stages"]:
        if not stage.get("Actions"):
            raise Failed(f"Stage {stage.get('Name')} has no action")
    return {"name": name, **work.given(*_PIPELINE)}


def _delete_pipeline(work: Work) -> None:
    with work.absent("codepipeline", "PipelineNotFoundException"):
        work.call("codepipeline", "delete_pipeline", name=work.physical_id)


_NOT_RUN = "the rehearsal runs builds, and looks for this nowhere"

KINDS = (
    Kind(
        type="AWS::CodeCommit::Repository",
        create=_create_repository,
        update=_keep,
        delete=_delete_repository,
        honoured=frozenset({"KmsKeyId", "RepositoryDescription", "RepositoryName"}),
        ignored={
            "Code": "the rehearsal pushes to a repository of its own",
            "Triggers": "the rehearsal pushes to a repository of its own",
        },
        required=("RepositoryName",),
        replaced=frozenset(),
        attributes=("Arn", "CloneUrlHttp", "CloneUrlSsh", "Name", "RepositoryId"),
        naming="RepositoryName",
        tags="list",
    ),
    Kind(
        type="AWS::CodeBuild::Project",
        create=_create_project,
        update=_update_project,
        delete=_delete_project,
        honoured=frozenset({*_PROJECT, "Name"}),
        ignored={
            "AutoRetryLimit": _NOT_RUN,
            "BuildBatchConfig": _NOT_RUN,
            "ResourceAccessRole": _NOT_RUN,
            "Triggers": _NOT_RUN,
            "Visibility": _NOT_RUN,
        },
        required=("Artifacts", "Environment", "ServiceRole", "Source"),
        replaced=frozenset({"Name"}),
        attributes=("Arn", "Id"),
        naming="Name",
        tags="list",
    ),
    Kind(
        type="AWS::CodePipeline::Pipeline",
        create=_create_pipeline,
        update=_update_pipeline,
        delete=_delete_pipeline,
        honoured=frozenset({*_PIPELINE, "Name"}),
        ignored={
            "DisableInboundStageTransitions": "the rehearsal lets everything pass",
            "RestartExecutionOnUpdate": "the rehearsal starts pipelines itself",
        },
        required=("RoleArn", "Stages"),
        replaced=frozenset({"Name"}),
        attributes=("Arn", "Version"),
        naming="Name",
        tags="list",
    ),
)
