"""An execution of a pipeline: what started it, and how far it came."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.deploy.change_sets import ChangeSet
from ci.deploy.outcome import StackOutcome
from ci.errors import PipelineError
from ci.local.codepipeline.artifact_store import Artifact
from ci.local.codepipeline.declaration import Pipeline


@dataclass(frozen=True)
class Trigger:
    """What starts an execution, in words, and the revisions that it names, by source action."""

    text: str
    revisions: Mapping[str, str] = field(default_factory=dict)
    by_hand: bool = False


@dataclass(frozen=True)
class Prepared:
    """A change set that an action made for a later one, None for an empty one; ``outcome`` is what
    is known of its stack, ``policy`` the stack policy that the stack gets once it is there."""

    outcome: StackOutcome
    change_set: ChangeSet | None
    policy: str


@dataclass
class Done:
    """How an action went. ``status`` is running, succeeded, failed or interrupted; ``report`` is
    that of the pipeline's own command, where a build ran one; ``stack`` what became of a stack."""

    name: str
    provider: str
    status: str = "running"
    told: str = ""
    seconds: float = 0.0
    error: PipelineError | None = None
    log: Path | None = None
    report: dict[str, Any] | None = None
    stack: StackOutcome | None = None


@dataclass
class Execution:
    """An execution, waiting or performed.

    ``status`` is waiting, running, succeeded, failed, superseded, repeated (a success just before
    had the same revisions: not performed again) or interrupted. ``revisions`` are those that its
    sources took, ``prepared`` the change sets that it made.
    """

    pipeline: Pipeline
    trigger: Trigger
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "waiting"
    seconds: float = 0.0
    stages: list[tuple[str, list[Done]]] = field(default_factory=list)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)

    @property
    def actions(self) -> list[Done]:
        """All actions that were begun."""
        return [done for _, actions in self.stages for done in actions]

    @property
    def failures(self) -> list[PipelineError]:
        """Why it failed, if it did."""
        return [done.error for done in self.actions if done.error]
