"""What a CloudFormation action reads from its artifacts: a template, and its values.

Source: CloudFormation User Guide, "CloudFormation artifacts" (template configuration files) and
"Using parameter override functions with CodePipeline pipelines".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.deploy import bucket
from ci.deploy.images import uses
from ci.deploy.nested import known
from ci.errors import InputError, PipelineError
from ci.local.codepipeline import archives
from ci.local.codepipeline.task import Task
from ci.package import parameters


@dataclass(frozen=True)
class Configuration:
    """A template configuration file, its parameters overridden by the action's."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    policy: str


def template(task: Task, place: str) -> tuple[str, dict[str, Any]]:
    """A template, as text and read. Raises PipelineError."""
    text = _file(task, place)
    try:
        return text, cfn_yaml.load(text)
    except cfn_yaml.CfnYamlError as error:
        fix = "see what the build makes there"
        raise PipelineError(f"{place}:{error.line}", f"is no template: {error}", fix) from error


async def images(
    task: Task, document: dict[str, Any], values: Mapping[str, str], path: Path
) -> dict[str, str]:
    """The digests that the functions of a template will run, by place, as far as it tells them."""
    world, stack = task.world, task.action.configuration["StackName"]
    tree = await bucket.with_nested(world.desk, document, path)
    pseudo = world.desk.cloud.pseudo_parameters(stack)
    found = uses(stack, tree, known(tree, values, pseudo))
    return {
        each.place: each.image.digest or await world.images.digest(each.image.path, each.image.tag)
        for each in found
    }


def read(task: Task, declared: Mapping[str, Any]) -> Configuration:
    """What the action's file and its overrides say.

    Raises PipelineError, also for what a template with the parameters ``declared`` does not take.
    """
    given = task.action.configuration
    document: Mapping[str, Any] = {}
    if place := given.get("TemplateConfiguration"):
        text = _file(task, place)
        try:
            document = json.loads(text)
        except ValueError as error:
            what = f"is no JSON: {error}"
            raise PipelineError(place, what, "mend it where it is kept") from error
    overrides = json.loads(given.get("ParameterOverrides") or "{}")
    values = {**(document.get("Parameters") or {})} | {
        name: _override(task, name, value) for name, value in overrides.items()
    }
    where = _where(given, "TemplateConfiguration", "ParameterOverrides")
    problems: list[InputError] = []
    parameters.judge(values, declared, where, problems)
    if problems:
        problem = problems[0]
        raise PipelineError(f"{where}, for {given['TemplatePath']}", problem.what, problem.fix)
    policy = document.get("StackPolicy")
    return Configuration(values, document.get("Tags") or {}, json.dumps(policy) if policy else "")


def _override(task: Task, name: str, value: Any) -> str:
    """The value of an override; ``Fn::GetParam`` reads it from a JSON file of an artifact,
    ``Fn::GetArtifactAtt`` tells where an artifact lies."""
    if isinstance(value, str):
        return value
    where = f"ParameterOverrides, {name}"
    match value:
        case {"Fn::GetParam": [str(artifact), str(file), str(key)]}:
            place = f"{artifact}::{file}"
            try:
                return str(json.loads(_file(task, place))[key])
            except (ValueError, KeyError, TypeError) as error:
                what = f"takes {key} from {place}, which does not have it"
                raise PipelineError(where, what, "see what that file says") from error
        case {"Fn::GetArtifactAtt": [str(artifact), "BucketName" | "ObjectKey" | "URL" as what]}:
            found_there = task.execution.artifacts.get(artifact)
            if artifact in task.action.inputs and found_there:
                url = bucket.url(
                    replace(task.world.desk.cloud, bucket=found_there.bucket), found_there.key
                )
                answers = {
                    "BucketName": found_there.bucket, "ObjectKey": found_there.key, "URL": url,
                }  # fmt: skip
                return answers[what]
    fix = 'write text, {"Fn::GetParam": [artifact, file, key]}, or {"Fn::GetArtifactAtt": …}'
    raise PipelineError(where, f"is {json.dumps(value)}, which is no value", fix)


def _file(task: Task, place: str) -> str:
    """The text of ``Artifact::path``. Raises PipelineError."""
    artifact, _, path = place.partition("::")
    try:
        text = archives.text_of(task.inputs[artifact], path)
    except KeyError as error:
        what = f"is read from {artifact}, which is no input artifact of the action"
        raise PipelineError(place, what, "add it to its InputArtifacts") from error
    except UnicodeDecodeError as error:
        raise PipelineError(place, "is not UTF-8", "save it as UTF-8") from error
    if text is None:
        names = archives.names_of(task.inputs[artifact])
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        what = f"is not there: the artifact holds {shown or 'nothing'}"
        raise PipelineError(place, what, "correct the path, or what the build puts there")
    return text


def _where(given: Mapping[str, str], *names: str) -> str:
    return " and ".join(name for name in names if given.get(name)) or "the action"
