"""A pipeline as declared: stages, actions, artifacts; read from the resolved properties of an
``AWS::CodePipeline::Pipeline``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci.errors import PipelineError

REHEARSED = "the rehearsal performs what CodePipeline's documentation tells of it, and no more"


class DeclarationErrors(PipelineError):
    """Everything that is wrong with a declaration, found before any of it is performed."""

    def __init__(self, errors: Sequence[PipelineError]) -> None:
        super().__init__(errors[0].where, errors[0].what, errors[0].fix)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


@dataclass(frozen=True)
class Action:
    """One action of a stage. ``configuration`` is as declared: variables not yet filled in."""

    name: str
    category: str
    owner: str
    provider: str
    version: str
    configuration: Mapping[str, str]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    namespace: str = ""
    run_order: int = 1
    region: str = ""


@dataclass(frozen=True)
class Stage:
    """A stage; its actions in the order of the declaration."""

    name: str
    actions: tuple[Action, ...]

    def groups(self) -> Iterator[tuple[Action, ...]]:
        """The actions as they run: those of one group side by side, group after group."""
        for order in sorted({action.run_order for action in self.actions}):
            yield tuple(action for action in self.actions if action.run_order == order)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline. ``mode`` is its execution mode; ``bucket`` holds its artifacts, encrypted with
    ``key`` where it names one; ``variables`` are its own, with their defaults."""

    name: str
    bucket: str
    stages: tuple[Stage, ...]
    mode: str = "SUPERSEDED"
    key: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[Action, ...]:
        """The actions that begin it."""
        return self.stages[0].actions if self.stages else ()

    @property
    def actions(self) -> Iterator[tuple[Stage, Action]]:
        """All actions with their stages, in the order of the declaration."""
        return ((stage, action) for stage in self.stages for action in stage.actions)

    def where(self, stage: Stage, action: Action | None = None) -> str:
        """A place in the declaration, as messages tell it."""
        return f"pipeline {self.name}, stage {stage.name}" + (
            f", action {action.name}" if action else ""
        )


_OF_PIPELINE = {"Name", "RoleArn", "ArtifactStore", "Stages", "ExecutionMode", "PipelineType",
                "Variables", "Tags", "RestartExecutionOnUpdate"}  # fmt: skip
_OF_STAGE = {"Name", "Actions"}
_OF_ACTION = {"Name", "ActionTypeId", "Configuration", "InputArtifacts", "OutputArtifacts",
              "Namespace", "RunOrder", "RoleArn", "Region"}  # fmt: skip


def read(properties: Mapping[str, Any], problems: list[PipelineError]) -> Pipeline:
    """The pipeline of resolved properties; what cannot be performed is noted in ``problems``.

    Source of the names: CloudFormation template reference, ``AWS::CodePipeline::Pipeline``.
    """
    name = str(properties.get("Name", "(without a name)"))
    where = f"pipeline {name}"
    _judge_keys(where, properties, _OF_PIPELINE, problems)
    store = properties.get("ArtifactStore") or {}
    if not store.get("Location"):
        fix = "give it ArtifactStore: {Type: S3, Location: a bucket of the same region}"
        problems.append(PipelineError(where, "has no artifact store", fix))
    stages = tuple(_stage(where, each, problems) for each in properties.get("Stages") or [])
    return Pipeline(
        name=name,
        bucket=str(store.get("Location", "")),
        stages=stages,
        mode=str(properties.get("ExecutionMode", "SUPERSEDED")),
        key=str((store.get("EncryptionKey") or {}).get("Id", "")),
        variables={
            str(each["Name"]): str(each.get("DefaultValue", ""))
            for each in properties.get("Variables") or []
        },
    )


def _stage(above: str, about: Mapping[str, Any], problems: list[PipelineError]) -> Stage:
    name = str(about.get("Name", "(without a name)"))
    where = f"{above}, stage {name}"
    _judge_keys(where, about, _OF_STAGE, problems)
    return Stage(name, tuple(_action(where, each, problems) for each in about.get("Actions") or []))


def _action(above: str, about: Mapping[str, Any], problems: list[PipelineError]) -> Action:
    name = str(about.get("Name", "(without a name)"))
    where = f"{above}, action {name}"
    _judge_keys(where, about, _OF_ACTION, problems)
    kind = about.get("ActionTypeId") or {}
    order = str(about.get("RunOrder", 1))
    if not (order.isdecimal() and 1 <= int(order) <= 999):
        what = f"has RunOrder {order}; CodePipeline takes whole numbers from 1 to 999"
        problems.append(PipelineError(where, what, "give it such a number, or leave it out"))
        order = "1"
    return Action(
        name=name,
        category=str(kind.get("Category", "")),
        owner=str(kind.get("Owner", "")),
        provider=str(kind.get("Provider", "")),
        version=str(kind.get("Version", "")),
        configuration={key: _text(value) for key, value in _items(about.get("Configuration"))},
        inputs=tuple(str(each.get("Name")) for each in about.get("InputArtifacts") or []),
        outputs=tuple(str(each.get("Name")) for each in about.get("OutputArtifacts") or []),
        namespace=str(about.get("Namespace", "")),
        run_order=int(order),
        region=str(about.get("Region", "")),
    )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield from (value or {}).items()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _judge_keys(
    where: str, about: Mapping[str, Any], known: set[str], problems: list[PipelineError]
) -> None:
    for key in sorted(about.keys() - known):
        fix = f"leave it out: {REHEARSED}"
        problems.append(PipelineError(where, f"has {key}, which the rehearsal does not do", fix))
