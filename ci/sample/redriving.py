"""Dead letters back into their queues, by the functions that the stacks have for it."""

from __future__ import annotations

from ci.sample.lake import Lake

FUNCTIONS = ("redrive-lambda", "stage-a-redrive", "stage-b-redrive")


def redrive(lake: Lake, dataset: str) -> dict[str, int]:
    """How many messages each redrive function moved. Raises PipelineError where one fails."""
    team, name = dataset.split("/")
    event = {"team": team, "dataset": name}
    return {each: int(lake.invoke(each, event)["moved"]) for each in FUNCTIONS}


def text(moved: dict[str, int]) -> str:
    return "\n".join(f"{name}: {count} moved back" for name, count in moved.items())
