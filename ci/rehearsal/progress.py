"""What the user sees of a rehearsal while it goes on: a line for every action, or folds of a CI."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ci.console import Folds
from ci.values import tell_seconds

_MARKS = {"succeeded": "✓", "failed": "✗", "interrupted": "-"}


class Progress:
    """Prints progress; the audience of the pipelines."""

    def __init__(self, stream: IO[str], folds: Folds | None) -> None:
        self.stream, self._folds = stream, folds

    def say(self, text: str) -> None:
        """A remark on the rehearsal."""
        print(text, file=self.stream, flush=True)

    def began(self, place: str, text: str) -> None:
        """An action that takes its time begins."""
        if not self._folds:
            self.say(f"  ▸ {place}: {text}")

    def news(self, place: str, text: str) -> None:
        """Something of an action at work; where logs fold, it is in its log."""
        if not self._folds:
            self.say(f"      {text}")

    def ended(self, place: str, status: str, text: str, seconds: float, log: Path | None) -> None:
        """An action is done: its line, its complete log where it folds away."""
        title = f"  {_MARKS[status]} {place}: {text}, {tell_seconds(seconds)}"
        if not self._folds or not log or not log.is_file():
            self.say(title)
            return
        self.say(self._folds.opening(title.strip()))
        self.say(log.read_text(encoding="utf-8", errors="replace").rstrip("\n"))
        self.say(self._folds.closing(title.strip()))
