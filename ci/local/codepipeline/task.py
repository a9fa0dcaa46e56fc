"""An action in hand: what it works with, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ci.local.codepipeline.declaration import Action, Stage
from ci.local.codepipeline.execution import Done, Execution
from ci.local.codepipeline.world import World


@dataclass(frozen=True)
class Task:
    """An action that is to be done now; ``inputs`` are the zips of its input artifacts, by name,
    ``scratch`` a directory of its own."""

    action: Action
    stage: Stage
    execution: Execution
    done: Done
    world: World
    inputs: Mapping[str, Path]
    scratch: Path

    @property
    def place(self) -> str:
        """Where it stands, for who watches."""
        return f"{self.stage.name} / {self.action.name}"


@dataclass(frozen=True)
class Outcome:
    """What an action gives: words, variables, and the zips of its output artifacts in order, with
    their revision."""

    told: str
    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Path, ...] = ()
    revision: str = ""
