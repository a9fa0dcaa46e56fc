"""What became of each image of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ci.errors import PipelineError


@dataclass(frozen=True)
class Phase:
    """A stretch of work; ``start`` and ``end`` are seconds since the run began."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Bytes:
    """Compressed bytes of an image's layers, by what its push had to do for them.

    Told from the manifests: ``skipped`` were in the repository's ``latest`` before, ``mounted``
    in another repository that this run pushed to, ``sent`` in neither.
    """

    sent: int
    mounted: int
    skipped: int

    @property
    def total(self) -> int:
        return self.sent + self.mounted + self.skipped


@dataclass(frozen=True)
class Outcome:
    """How one image ended. ``status`` is built, reused, failed or skipped; ``log`` is its path
    from the report's directory, blank where nothing was started."""

    name: str
    repository: str
    status: str
    why: str
    digest: str = ""
    tags: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    bytes: Bytes | None = None
    error: PipelineError | None = None
    log: str = ""

    @property
    def seconds(self) -> float:
        """Time in work, without waiting for others."""
        return sum(phase.end - phase.start for phase in self.phases if phase.name != "wait")

    @property
    def ok(self) -> bool:
        """Whether its image is in the registry, under its tags."""
        return self.status in ("built", "reused")

    def moved(self, tag: str, refused: PipelineError | None) -> Outcome:
        """The same with one more tag, or failed where the registry refused it."""
        if refused:
            return replace(self, status="failed", error=refused)
        return replace(self, tags=(*self.tags, tag))
