"""What each kind of action may say: configuration, artifacts, and what it refers to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ci.errors import PipelineError
from ci.local.codepipeline import providers
from ci.local.codepipeline.declaration import REHEARSED, Action
from ci.values import did_you_mean

LARGEST_VALUE = 1000
"""Characters. Source: CodePipeline quotas; configuration value of an action."""
_ARTIFACT = re.compile(r"[a-zA-Z0-9_-]{1,100}")
_PATHS = ("TemplatePath", "TemplateConfiguration")


@dataclass(frozen=True)
class Surroundings:
    """Names of what is there beside the pipelines: what their actions may refer to."""

    projects: frozenset[str] = frozenset()
    repositories: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    region: str = "us-east-1"


def problems(where: str, action: Action, around: Surroundings) -> Iterator[PipelineError]:
    """What is wrong with one action by itself."""
    provider = providers.of(action)
    if provider is None:
        yield _unknown(where, action)
        return
    yield from _configuration(where, action, provider)
    yield from _counts(where, action, provider)
    yield from _references(where, action, around)
    if action.provider == "CloudFormation":
        yield from _deployment(where, action)
    if action.provider == "CodeBuild":
        yield from _build(where, action)
    if action.region and action.region != around.region:
        what = f"is for the region {action.region}; the rehearsal has {around.region} only"
        yield PipelineError(where, what, "leave Region out, or rehearse with that --region")


def _unknown(where: str, action: Action) -> PipelineError:
    kind = f"{action.category} by {action.owner}/{action.provider}, version {action.version}"
    known = sorted({name for _, name in providers.PROVIDERS})
    if action.provider in providers.ELSEWHERE:
        fix = f"it performs {', '.join(known)}: {REHEARSED}"
        return PipelineError(where, f"is {kind}, which the rehearsal does not perform", fix)
    every = known + sorted(providers.ELSEWHERE)
    fix = did_you_mean(action.provider, every, f"the rehearsal performs {', '.join(known)}")
    return PipelineError(where, f"is {kind}, which CodePipeline does not know", fix)


def _configuration(
    where: str, action: Action, provider: providers.Provider
) -> Iterator[PipelineError]:
    given = action.configuration
    needed = set(provider.required)
    if action.provider == "CloudFormation":
        needed |= providers.OF_MODE.get(given.get("ActionMode", ""), frozenset())
    for key in sorted(needed):
        if not given.get(key):
            what = f"lacks {key} in its configuration"
            yield PipelineError(where, what, f"{action.provider} needs it: give it a value")
    known = provider.required | provider.optional
    for key in sorted(given.keys() - known):
        fix = did_you_mean(key, known, f"{action.provider} knows {', '.join(sorted(known))}")
        what = f"has {key} in its configuration, which {action.provider} does not know"
        yield PipelineError(where, what, fix)
    for key, performed in provider.only.items():
        value = given.get(key, "")
        if value and value not in performed:
            fix = did_you_mean(value, performed, f"say one of {', '.join(sorted(performed))}")
            what = f"has {key} {value}, which the rehearsal does not perform"
            yield PipelineError(where, what, fix)
    for key, value in given.items():
        if len(value) > LARGEST_VALUE:
            what = f"has {len(value)} characters in {key}; CodePipeline takes {LARGEST_VALUE}"
            yield PipelineError(where, what, "move what it says into a file of an artifact")


def _counts(where: str, action: Action, provider: providers.Provider) -> Iterator[PipelineError]:
    for kind, names, allowed in (
        ("input", action.inputs, provider.inputs),
        ("output", action.outputs, provider.outputs),
    ):
        if len(names) not in allowed:
            most = allowed[-1] if allowed[0] == allowed[-1] else f"{allowed[0]} to {allowed[-1]}"
            what = f"has {len(names)} {kind} artifacts; {action.provider} takes {most}"
            yield PipelineError(where, what, "mend its InputArtifacts and OutputArtifacts")
        for name in names:
            if not _ARTIFACT.fullmatch(name):
                what = f"names the artifact {name!r}; letters, digits, - and _ are allowed"
                yield PipelineError(where, what, "rename it")


def _references(where: str, action: Action, around: Surroundings) -> Iterator[PipelineError]:
    """What an action names and is not there."""
    for provider, key, there, kind in (
        ("CodeBuild", "ProjectName", around.projects, "CodeBuild project"),
        ("CodeCommit", "RepositoryName", around.repositories, "CodeCommit repository"),
        ("ECR", "RepositoryName", around.images, "ECR repository"),
    ):
        name = action.configuration.get(key, "")
        if action.provider == provider and name and name not in there:
            fix = did_you_mean(name, there, f"there are {', '.join(sorted(there)) or 'none'}")
            yield PipelineError(where, f"names the {kind} {name}, which is not there", fix)


def _deployment(where: str, action: Action) -> Iterator[PipelineError]:
    given = action.configuration
    for key in _PATHS:
        path = given.get(key, "")
        if not path:
            continue
        artifact, separator, file = path.partition("::")
        if not (separator and artifact and file):
            what = f"has {key} {path!r}"
            yield PipelineError(where, what, "write it as Artifact::path/in/the/artifact")
        elif artifact not in action.inputs:
            what = f"has {key} {path!r}, and {artifact} is none of its input artifacts"
            fix = did_you_mean(artifact, action.inputs, f"add {artifact} to its InputArtifacts")
            yield PipelineError(where, what, fix)
    yield from _overrides(where, given.get("ParameterOverrides", ""))
    if action.outputs and not given.get("OutputFileName"):
        what = "has an output artifact, and nothing that goes into it"
        yield PipelineError(where, what, "add OutputFileName, or leave the artifact out")


def _overrides(where: str, text: str) -> Iterator[PipelineError]:
    if not text:
        return
    try:
        values = json.loads(text)
    except ValueError as error:
        what = f"has ParameterOverrides that are no JSON: {error}"
        yield PipelineError(where, what, 'write {"pName": "value"}')
        return
    if not isinstance(values, dict):
        what = "has ParameterOverrides that are no JSON object"
        yield PipelineError(where, what, 'write {"pName": "value"}')


def _build(where: str, action: Action) -> Iterator[PipelineError]:
    primary = action.configuration.get("PrimarySource", "")
    if len(action.inputs) > 1 and not primary:
        what = f"has {len(action.inputs)} input artifacts, and does not say which is the source"
        yield PipelineError(where, what, "name it in PrimarySource")
    if primary and primary not in action.inputs:
        fix = did_you_mean(primary, action.inputs, "name one of its InputArtifacts")
        yield PipelineError(where, f"has PrimarySource {primary}, which is no input of it", fix)
    try:
        environment(action)
    except ValueError as error:
        fix = 'write [{"name": "NAME", "value": "value", "type": "PLAINTEXT"}]'
        yield PipelineError(where, f"has EnvironmentVariables that {error}", fix)


def environment(action: Action, text: str | None = None) -> dict[str, str]:
    """The environment variables that a CodeBuild action declares, from ``text`` if given.

    Raises ValueError, whose message follows on "the variables".
    """
    text = action.configuration.get("EnvironmentVariables", "") if text is None else text
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"are no JSON: {error}") from error
    if not isinstance(found, list) or not all(
        isinstance(each, dict)
        and {"name", "value"} <= each.keys() <= {"name", "value", "type"}
        and all(isinstance(value, str) for value in each.values())
        for each in found
    ):
        raise ValueError("are no list of objects with a name, a value and, it may be, a type")
    for each in found:
        if each.get("type", "PLAINTEXT") != "PLAINTEXT":
            kind = each["type"]
            raise ValueError(f"have the type {kind}; the rehearsal knows PLAINTEXT only")
    return {each["name"]: each["value"] for each in found}
