"""The queues between the stages, found through SSM parameters that their stacks write."""

from __future__ import annotations

from datalake_library.interfaces.parameters import parameter


def stage_a(team: str, pipeline: str) -> str:
    """URL of the queue of a team's stage A."""
    return parameter(f"/DataLake/{team}/{pipeline}/StageAQueueUrl")


def stage_b(team: str, dataset: str) -> str:
    """URL of the queue in which a dataset's files wait for stage B."""
    return parameter(f"/DataLake/{team}/{dataset}/StageBQueueUrl")


def stage_b_dead_letters(team: str, dataset: str) -> str:
    return parameter(f"/DataLake/{team}/{dataset}/StageBDeadLetterQueueUrl")
