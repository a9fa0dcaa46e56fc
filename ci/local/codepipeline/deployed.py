"""Pipelines, builds, repositories and rules as the infrastructure stack has deployed them.

What the local cloud tells at ``/_local/stacks/NAME/resources`` is read here: every resource with
its type, its physical id and its properties, resolved.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.local.codepipeline import builds, declaration, judgement, rules
from ci.local.codepipeline.action_rules import Surroundings
from ci.local.codepipeline.builds import Project
from ci.local.codepipeline.declaration import DeclarationErrors, Pipeline
from ci.local.codepipeline.rules import Rule

_PIPELINE, _PROJECT, _RULE = (
    "AWS::CodePipeline::Pipeline", "AWS::CodeBuild::Project", "AWS::Events::Rule",
)  # fmt: skip
_REPOSITORY, _IMAGES = "AWS::CodeCommit::Repository", "AWS::ECR::Repository"


@dataclass(frozen=True)
class Deployed:
    """What the stack ``id`` declares of pipelines; ``repositories`` are CodeCommit's, by name."""

    id: str
    pipelines: Mapping[str, Pipeline]
    projects: Mapping[str, Project]
    rules: tuple[Rule, ...]
    repositories: Mapping[str, str]
    images: tuple[str, ...]


def resources(cloud: Cloud, stack: str) -> dict[str, dict[str, Any]]:
    """What the local cloud tells of a stack's resources, by logical id."""
    url = f"http://127.0.0.1:{cloud.port}/_local/stacks/{stack}/resources?region={cloud.region}"
    # The proxies of the environment are for elsewhere.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        found: dict[str, dict[str, Any]] = json.load(answer)
    return found


def read(
    resources: Mapping[str, Mapping[str, Any]], stack: str, account: str, region: str
) -> Deployed:
    """What the resources of a stack declare, judged. Raises DeclarationErrors with all problems."""
    problems: list[PipelineError] = []
    projects: dict[str, Project] = {}
    found_rules: list[Rule] = []
    for _, physical, properties in _of(resources, _PROJECT):
        arn = f"arn:aws:codebuild:{region}:{account}:project/{physical}"
        try:
            projects[physical] = builds.project({**properties, "Name": physical}, arn)
        except PipelineError as problem:
            problems.append(problem)
    for logical, _, properties in _of(resources, _RULE):
        try:
            if rule := rules.read(properties, logical):
                found_rules.append(rule)
        except PipelineError as problem:
            problems.append(problem)
    repositories = {
        str(properties["RepositoryName"]): physical
        for _, physical, properties in _of(resources, _REPOSITORY)
    }
    images = tuple(physical for _, physical, _ in _of(resources, _IMAGES))
    around = Surroundings(
        frozenset(projects), frozenset(repositories), frozenset(images), region
    )  # fmt: skip
    pipelines: dict[str, Pipeline] = {}
    for _, physical, properties in _of(resources, _PIPELINE):
        pipeline = declaration.read({**properties, "Name": physical}, problems)
        problems += judgement.problems(pipeline, around)
        pipelines[physical] = pipeline
    if problems:
        raise DeclarationErrors(problems)
    return Deployed(stack, pipelines, projects, tuple(found_rules), repositories, images)


def _of(
    resources: Mapping[str, Mapping[str, Any]], kind: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Logical id, physical id and properties of the resources of a type."""
    for logical, about in resources.items():
        if about["Type"] == kind:
            yield logical, str(about["PhysicalResourceId"]), about["Properties"]
