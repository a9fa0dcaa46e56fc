"""The events that AWS's services send to EventBridge, as far as pipelines are started by them.

Sources: CodeCommit User Guide, "Monitoring CodeCommit events in Amazon EventBridge"; ECR User
Guide, "Sample events from Amazon ECR"; CodePipeline User Guide, "Monitoring CodePipeline events".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ci.local.codepipeline.execution import Execution
from ci.local.codepipeline.world import World

Event = dict[str, Any]


def branch_push(
    world: World, repository: str, arn: str, branch: str, commit: str, before: str
) -> Event:
    """A branch was made (``before`` is blank) or moved."""
    detail = {
        "callerUserArn": f"arn:aws:iam::{world.desk.cloud.account}:user/developer",
        "commitId": commit,
        "event": "referenceUpdated" if before else "referenceCreated",
        "referenceFullName": f"refs/heads/{branch}",
        "referenceName": branch,
        "referenceType": "branch",
        "repositoryId": world.identities[repository],
        "repositoryName": repository,
    }
    if before:
        detail["oldCommitId"] = before
    return _event(world, "aws.codecommit", "CodeCommit Repository State Change", detail, [arn])


def image_push(world: World, repository: str, tag: str, digest: str) -> Event:
    """An image was pushed under a tag."""
    detail = {
        "action-type": "PUSH",
        "image-digest": digest,
        "image-tag": tag,
        "repository-name": repository,
        "result": "SUCCESS",
    }
    return _event(world, "aws.ecr", "ECR Image Action", detail, [])


def pipeline_state(world: World, execution: Execution, state: str) -> Event:
    """An execution began, or ended: STARTED, SUCCEEDED, FAILED, SUPERSEDED."""
    cloud, name = world.desk.cloud, execution.pipeline.name
    arn = f"arn:aws:codepipeline:{cloud.region}:{cloud.account}:{name}"
    detail = {"pipeline": name, "execution-id": execution.id, "state": state, "version": 1.0}
    kind = "CodePipeline Pipeline Execution State Change"
    return _event(world, "aws.codepipeline", kind, detail, [arn])


def _event(
    world: World, source: str, kind: str, detail: Mapping[str, Any], resources: Sequence[str]
) -> Event:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": world.desk.cloud.account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": world.region,
        "resources": list(resources),
        "detail": dict(detail),
    }
