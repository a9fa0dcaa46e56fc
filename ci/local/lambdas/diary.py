"""What the function host itself has to tell: a file beside the functions' logs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import IO


class Diary:
    """Lines with a time. What is repeated at once is said once."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "host.log"
        self._file: IO[str] = self.path.open("a", encoding="utf-8", buffering=1)
        self._last: dict[str, str] = {}

    def say(self, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._file.write(f"{now}\t{text}\n")

    def trouble(self, who: str, what: str) -> None:
        """Something goes wrong, and will be tried again."""
        if self._last.get(who) != what:
            self._last[who] = what
            self.say(f"{who}: {what}")

    def well(self, who: str) -> None:
        """It went right: trouble after this is told again."""
        if self._last.pop(who, None):
            self.say(f"{who}: works again")

    def close(self) -> None:
        self._file.close()
