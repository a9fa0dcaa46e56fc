"""Deletes resources that outlived their stack, as their own services do.

Sources: the API Reference of each service. A KMS key is never gone at once: it waits for 30 days,
the longest that KMS offers, in which its deletion can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci.deploy.emptying import BUCKET, REPOSITORY, empty
from ci.deploy.owned import Piece
from ci.deploy.reach import Reach

KEY = "AWS::KMS::Key"
_DAYS = 30


@dataclass(frozen=True)
class _Way:
    """How resources of a type are deleted: by which action, and how when they are gone."""

    service: str
    action: str
    delete: Callable[[Any, str], Any]
    gone: tuple[str, ...]


def _code_repository(client: Any, ident: str) -> None:
    """A stack knows its repository by id, the API deletes it by name."""
    for page in client.get_paginator("list_repositories").paginate():
        for each in page["repositories"]:
            if ident in (each["repositoryId"], each["repositoryName"]):
                client.delete_repository(repositoryName=each["repositoryName"])


_WAYS: Mapping[str, _Way] = {
    "AWS::DynamoDB::Table": _Way(
        "dynamodb", "dynamodb:DeleteTable",
        lambda client, name: client.delete_table(TableName=name),
        ("ResourceNotFoundException",)),
    BUCKET: _Way(
        "s3", "s3:DeleteBucket",
        lambda client, name: client.delete_bucket(Bucket=name), ("NoSuchBucket",)),
    REPOSITORY: _Way(
        "ecr", "ecr:DeleteRepository",
        lambda client, name: client.delete_repository(repositoryName=name, force=True),
        ("RepositoryNotFoundException",)),
    "AWS::SQS::Queue": _Way(
        "sqs", "sqs:DeleteQueue",
        lambda client, url: client.delete_queue(QueueUrl=url),
        ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")),
    "AWS::Logs::LogGroup": _Way(
        "logs", "logs:DeleteLogGroup",
        lambda client, name: client.delete_log_group(logGroupName=name),
        ("ResourceNotFoundException",)),
    "AWS::CodeCommit::Repository": _Way(
        "codecommit", "codecommit:DeleteRepository",
        _code_repository, ()),
    "AWS::Glue::Database": _Way(
        "glue", "glue:DeleteDatabase",
        lambda client, name: client.delete_database(Name=name), ("EntityNotFoundException",)),
    "AWS::StepFunctions::StateMachine": _Way(
        "stepfunctions", "states:DeleteStateMachine",
        lambda client, arn: client.delete_state_machine(stateMachineArn=arn),
        ("StateMachineDoesNotExist",)),
    "AWS::SNS::Topic": _Way(
        "sns", "sns:DeleteTopic",
        lambda client, arn: client.delete_topic(TopicArn=arn), ("NotFound",)),
    "AWS::SSM::Parameter": _Way(
        "ssm", "ssm:DeleteParameter",
        lambda client, name: client.delete_parameter(Name=name), ("ParameterNotFound",)),
    KEY: _Way(
        "kms", "kms:ScheduleKeyDeletion",
        lambda client, key: client.schedule_key_deletion(KeyId=key, PendingWindowInDays=_DAYS),
        ("NotFoundException", "KMSInvalidStateException")),
}  # fmt: skip


def known(kind: str) -> bool:
    """Whether resources of a type can be deleted from here."""
    return kind in _WAYS


def in_order(pieces: Sequence[Piece]) -> list[Piece]:
    """Keys after all that they may encrypt."""
    return sorted(pieces, key=lambda piece: piece.kind == KEY)


async def purge(reach: Reach, piece: Piece) -> str:
    """Deletes a resource; how, in words. One that is gone is no error. Raises PipelineError."""
    way = _WAYS[piece.kind]
    if piece.kind in (BUCKET, REPOSITORY):
        await empty(reach, piece.kind, piece.physical_id)

    def asked(client: Any) -> str:
        try:
            way.delete(client, piece.physical_id)
        except client.exceptions.ClientError as error:
            if error.response["Error"].get("Code") not in way.gone:
                raise
            return "was gone already"
        return f"will be deleted in {_DAYS} days" if piece.kind == KEY else "deleted"

    return await reach.desk.ask(way.service, way.action, asked)
