"""How far all objects have come, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ci.sample.lake import Lake

TITLES = ("raw", "pre-stage", "in Parquet", "Parquet files", "failed", "queued", "running")


@dataclass(frozen=True)
class Tally:
    """Objects raw, as CSV, and as rows in how many Parquet files; objects that failed; messages
    that wait; executions that run."""

    raw: int
    pre_stage: int
    converted: int
    files: int
    failed: int
    queued: int
    running: int

    def cells(self) -> tuple[str, ...]:
        numbers = (self.raw, self.pre_stage, self.converted, self.files, self.failed, self.queued,
                   self.running)  # fmt: skip
        return tuple(str(number) for number in numbers)

    def line(self) -> str:
        return "  ".join(f"{t} {n}" for t, n in zip(TITLES, self.cells(), strict=True))


def take(lake: Lake) -> Tally:
    """Raises PipelineError where the cloud refuses or is silent."""
    staged = lake.keys(lake.stage)
    records = lake.records().values()
    states = Counter((str(r["id"]).startswith(f"s3://{lake.stage}/"), r["status"]) for r in records)
    return Tally(
        raw=len(lake.keys(lake.central)),
        pre_stage=sum(key.startswith("pre-stage/") for key in staged),
        converted=states[True, "COMPLETED"],
        files=sum(key.startswith("post-stage/") for key in staged),
        failed=states[True, "FAILED"] + states[False, "FAILED"],
        queued=sum(queue.messages for queue in lake.queues() if not queue.dead),
        running=sum(1 for _ in lake.running()),
    )
