"""What became of each stack of a deployment, a rollback or a destruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ci.deploy.changes import Change
from ci.errors import PipelineError

FAILED = ("failed", "refused", "skipped", "interrupted")


@dataclass(frozen=True)
class Kept:
    """A resource that outlives its stack, or did until it was purged."""

    stack: str
    logical_id: str
    kind: str
    physical_id: str
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the report's schema has it."""
        return {
            "stack": self.stack,
            "logical_id": self.logical_id,
            "type": self.kind,
            "physical_id": self.physical_id,
            "why": self.why,
        }


@dataclass(frozen=True)
class StackOutcome:
    """How one stack ended. ``status`` is created, updated, unchanged, deleted, absent, refused,
    failed, skipped or interrupted; ``why`` says more, where there is more to say."""

    name: str
    status: str
    why: str = ""
    template: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: PipelineError | None = None

    @property
    def ok(self) -> bool:
        """Whether the stack is as it was to be."""
        return self.status not in FAILED
