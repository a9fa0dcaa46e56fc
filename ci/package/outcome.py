"""What became of each stack of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.errors import PipelineError
from ci.package.pinning import Use


@dataclass(frozen=True)
class PackagedStack:
    """How the packaging of one stack ended; without ``error`` its files are in the artifact.

    ``values`` are its parameters, ``images`` those that it runs, ``uploaded`` the keys that its
    packaging added to the bucket, ``notes`` remarks for the user.
    """

    name: str
    directory: str
    template: Path
    parameters: Path
    values: Mapping[str, str]
    images: tuple[Use, ...] = ()
    uploaded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: PipelineError | None = None

    @property
    def ok(self) -> bool:
        """Whether its files are in the artifact, as far as it alone decides."""
        return self.error is None
