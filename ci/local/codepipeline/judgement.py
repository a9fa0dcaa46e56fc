"""What CodePipeline refuses when a pipeline is made or updated, and what it would only find out
while it runs; told before anything is performed, all of it at once.

Sources: CodePipeline User Guide, "Pipeline structure reference" and "Variables reference".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ci.errors import PipelineError
from ci.local.codepipeline import action_rules, providers, variables
from ci.local.codepipeline.action_rules import Surroundings
from ci.local.codepipeline.declaration import REHEARSED, Action, Pipeline, Stage
from ci.values import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9.@_-]{1,100}")


@dataclass
class _Seen:
    """What the actions before the one in hand give: artifacts with their maker, variables."""

    artifacts: dict[str, str] = field(default_factory=dict)
    variables: dict[str, frozenset[str] | None] = field(
        default_factory=lambda: {variables.EXECUTION: variables.OF_EXECUTION}
    )
    change_sets: set[tuple[str, str]] = field(default_factory=set)


def problems(pipeline: Pipeline, around: Surroundings) -> list[PipelineError]:
    """Everything that is wrong with a pipeline; nothing for one that can be performed."""
    found: list[PipelineError] = []
    found += _structure(pipeline)
    seen = _Seen()
    seen.variables[variables.PIPELINE] = frozenset(pipeline.variables)
    for stage in pipeline.stages:
        for group in stage.groups():
            for action in group:
                found += _action(pipeline, stage, action, seen, around)
            # Side by side: what one gives, another of its group cannot count on.
            for action in group:
                found += _given(pipeline, stage, action, seen)
    return found


def _structure(pipeline: Pipeline) -> Iterator[PipelineError]:
    where = f"pipeline {pipeline.name}"
    if pipeline.mode not in ("QUEUED", "SUPERSEDED"):
        fix = f"say QUEUED or SUPERSEDED: {REHEARSED}"
        yield PipelineError(where, f"has the execution mode {pipeline.mode}", fix)
    if len(pipeline.stages) < 2:
        what = f"has {len(pipeline.stages)} stage{'s' * (len(pipeline.stages) != 1)}"
        yield PipelineError(where, f"{what}; CodePipeline wants two or more", "add one")
    names = [stage.name for stage in pipeline.stages]
    for name in _twice(names):
        yield PipelineError(where, f"has two stages of the name {name}", "rename one")
    for index, stage in enumerate(pipeline.stages):
        yield from _stage(pipeline, stage, first=index == 0)
    if pipeline.stages and all(action.category == "Source" for _, action in pipeline.actions):
        yield PipelineError(where, "has only sources", "add a stage that does something")


def _stage(pipeline: Pipeline, stage: Stage, *, first: bool) -> Iterator[PipelineError]:
    where = pipeline.where(stage)
    if not _NAME.fullmatch(stage.name):
        yield PipelineError(where, "has a name that CodePipeline does not take", _named())
    if not stage.actions:
        yield PipelineError(where, "has no action", "give it one, or leave the stage out")
    for name in _twice([action.name for action in stage.actions]):
        yield PipelineError(where, f"has two actions of the name {name}", "rename one")
    for action in stage.actions:
        here = pipeline.where(stage, action)
        if not _NAME.fullmatch(action.name):
            yield PipelineError(here, "has a name that CodePipeline does not take", _named())
        if first and action.category != "Source":
            what = f"is no source ({action.category} {action.provider}), but stands in the first"
            fix = "move it to a later stage: the first one holds sources only"
            yield PipelineError(here, f"{what} stage", fix)
        if not first and action.category == "Source":
            what = "is a source, but does not stand in the first stage"
            fix = f"move it to the stage {pipeline.stages[0].name}: only the first holds sources"
            yield PipelineError(here, what, fix)


def _action(
    pipeline: Pipeline, stage: Stage, action: Action, seen: _Seen, around: Surroundings
) -> Iterator[PipelineError]:
    where = pipeline.where(stage, action)
    yield from action_rules.problems(where, action, around)
    yield from _order(where, pipeline, stage, action, seen)
    for name in action.inputs:
        if name not in seen.artifacts:
            yield _undeclared(where, pipeline, name, seen)
    for text in action.configuration.values():
        for namespace, name in variables.references(text):
            if why := _no_variable(pipeline, namespace, name, seen):
                fix = "name a variable that an earlier action gives, by that action's Namespace"
                what = f"refers to #{{{namespace}.{name}}}; {why}"
                yield PipelineError(where, what, fix)


def _order(
    where: str, pipeline: Pipeline, stage: Stage, action: Action, seen: _Seen
) -> Iterator[PipelineError]:
    """A change set that is executed before the pipeline makes it."""
    given = action.configuration
    mine = (given.get("StackName", ""), given.get("ChangeSetName", ""))
    if given.get("ActionMode") == "CHANGE_SET_EXECUTE" and mine not in seen.change_sets:
        for later_stage, later in pipeline.actions:
            other = later.configuration
            made = (other.get("StackName", ""), other.get("ChangeSetName", ""))
            if other.get("ActionMode") == "CHANGE_SET_REPLACE" and made == mine:
                place = pipeline.where(later_stage, later).partition(", ")[2]
                what = f"executes the change set {mine[1]} of {mine[0]}, which {place}, makes later"
                same = later_stage.name == stage.name
                fix = "give the one that makes it a lower RunOrder" if same else "swap the stages"
                yield PipelineError(where, what, fix)


def _undeclared(where: str, pipeline: Pipeline, name: str, seen: _Seen) -> PipelineError:
    for stage, action in pipeline.actions:
        if name in action.outputs:
            place = pipeline.where(stage, action).partition(", ")[2]
            what = f"takes the artifact {name}, which {place}, makes, no earlier than it runs"
            return PipelineError(where, what, "let that one run first: stage, or RunOrder")
    before = ", ".join(seen.artifacts) or "none"
    fix = did_you_mean(name, seen.artifacts, f"the artifacts made before are: {before}")
    return PipelineError(where, f"takes the artifact {name}, which no action makes", fix)


def _no_variable(pipeline: Pipeline, namespace: str, name: str, seen: _Seen) -> str:
    """Why a variable is not there for the action in hand; blank if it is."""
    if namespace not in seen.variables:
        later = [action.name for _, action in pipeline.actions if action.namespace == namespace]
        return (
            f"{later[0]} gives it, no earlier than this one runs" if later
            else f"no action has the namespace {namespace}"
        )  # fmt: skip
    names = seen.variables[namespace]
    if names is None or name in names:
        return ""
    return f"{namespace} gives {', '.join(sorted(names)) or 'nothing'}"


def _given(
    pipeline: Pipeline, stage: Stage, action: Action, seen: _Seen
) -> Iterator[PipelineError]:
    """Notes what an action gives to those after it."""
    where = pipeline.where(stage, action)
    for name in action.outputs:
        if name in seen.artifacts:
            what = f"makes the artifact {name}, as {seen.artifacts[name]} does"
            yield PipelineError(where, what, "rename one: an artifact is made once in a pipeline")
        seen.artifacts[name] = where.partition(", ")[2]
    if action.namespace:
        if action.namespace in seen.variables:
            what = f"has the namespace {action.namespace}, which is taken"
            yield PipelineError(where, what, "give it another Namespace")
        provider = providers.of(action)
        seen.variables[action.namespace] = provider.variables if provider else None
    given = action.configuration
    if given.get("ActionMode") == "CHANGE_SET_REPLACE":
        seen.change_sets.add((given.get("StackName", ""), given.get("ChangeSetName", "")))


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _named() -> str:
    return "use at most 100 letters, digits and . @ _ -"
