"""What the user sees while images are built: a line for each, or folds where the CI has them.

Everything here goes to one stream (standard error), so that its lines keep their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ci.building.outcome import Outcome
from ci.values import tell_seconds

_MARKS = {"built": "✓", "reused": "=", "failed": "✗", "skipped": "-"}


@dataclass(frozen=True)
class Folds:
    """How a CI system folds a stretch of its log: what to print before and after, by title."""

    name: str
    opening: Callable[[str], str]
    closing: Callable[[str], str]


def _gitlab(kind: str, title: str, shown: str) -> str:
    key = "".join(char if char.isalnum() else "_" for char in title)
    folded = "[collapsed=true]" if kind == "start" else ""
    return f"\x1b[0Ksection_{kind}:{time.time():.0f}:{key}{folded}\r\x1b[0K{shown}"


# Sources: GitHub "Workflow commands", GitLab "Custom collapsible sections", Azure "Logging
# commands".
_GITHUB = Folds("GitHub Actions", lambda title: f"::group::{title}", lambda title: "::endgroup::")
_GITLAB = Folds(
    "GitLab CI",
    lambda title: _gitlab("start", title, title),
    lambda title: _gitlab("end", title, ""),
)
_AZURE = Folds("Azure Pipelines", lambda title: f"##[group]{title}", lambda title: "##[endgroup]")


def folds_of(environ: Mapping[str, str]) -> Folds | None:
    """The folds of the CI system that we run in; None where there are none."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return _GITHUB
    if environ.get("GITLAB_CI") == "true":
        return _GITLAB
    return _AZURE if environ.get("TF_BUILD") == "True" else None


class Console:
    """Prints progress; the audience of a fleet."""

    def __init__(self, stream: IO[str], folds: Folds | None, report: Path, total: int) -> None:
        self._stream, self._folds, self._report = stream, folds, report
        self._total, self._ended = total, 0

    def say(self, text: str) -> None:
        """A remark on the run."""
        print(text, file=self._stream, flush=True)

    def began(self, name: str) -> None:
        """Work on an image begins."""
        if not self._folds:
            self.say(f"▸ {name}")

    def remark(self, name: str, text: str) -> None:
        """Something about one image that is worth knowing at once."""
        self.say(f"  {name}: {text}")

    def ended(self, outcome: Outcome) -> None:
        """One image is done: its line, its complete log where it folds away."""
        self._ended += 1
        title = (
            f"{_MARKS[outcome.status]} {outcome.name} {outcome.status}, "
            f"{tell_seconds(outcome.seconds)} ({self._ended} of {self._total})"
        )
        if not self._folds or not outcome.log:
            self.say(title)
            return
        self.say(self._folds.opening(title))
        log = (self._report / outcome.log).read_text(encoding="utf-8", errors="replace")
        self.say(log.rstrip("\n"))
        self.say(self._folds.closing(title))
