"""Progress of every step as plain lines, for a terminal or a log file."""

from __future__ import annotations

from collections.abc import Callable

from ci.engine.buildkit.rawjson import Event

HOUSEKEEPING = ("[internal]", "exporting to client")
"""Steps that nobody asked for: told only when they fail."""


class Printer:
    """Prints steps, numbered in the order in which they begin, as ``buildctl`` does.

    A step that several solves share is printed once, by the solve that told of it first; when a
    later solve meets it again, only what it prints anew is told.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._numbers: dict[str, int] = {}
        self._owner: dict[str, object] = {}
        self._partial: dict[tuple[str, int], bytes] = {}
        self._finished: set[str] = set()

    def listener(self) -> _Solve:
        return _Solve(self)

    def print(self, solve: object, event: Event) -> None:
        if event.name.startswith(HOUSEKEEPING) and event.kind != "error":
            return
        if self._owner.setdefault(event.step, solve) is not solve:
            return
        number = self._numbers.setdefault(event.step, len(self._numbers) + 1)
        if event.step in self._finished and event.kind in ("start", "cached", "done"):
            return
        if event.kind in ("cached", "done"):
            self._finished.add(event.step)
        match event.kind:
            case "start":
                self._write(f"#{number} {event.name}\n")
            case "cached":
                self._write(f"#{number} CACHED\n")
            case "done":
                self._flush(number, event.step)
                self._write(f"#{number} DONE {event.seconds:.1f}s\n")
            case "error":
                self._flush(number, event.step)
                self._write(f"#{number} ERROR: {event.data.decode(errors='replace')}\n")
            case "log":
                key = (event.step, event.stream)
                *lines, rest = (self._partial.get(key, b"") + event.data).split(b"\n")
                self._partial[key] = rest
                for line in lines:
                    self._line(number, line)

    def _flush(self, number: int, step: str) -> None:
        for stream in (1, 2):
            if rest := self._partial.pop((step, stream), b""):
                self._line(number, rest)

    def _line(self, number: int, line: bytes) -> None:
        # A progress bar that redraws its line ends up as its last state.
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
        self._write(f"#{number} {text}\n")

    def release(self, solve: object) -> None:
        """The solve is over: the next one that runs the step again may tell of it."""
        for step in [step for step, owner in self._owner.items() if owner is solve]:
            del self._owner[step]


class _Solve:
    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    def __call__(self, event: Event) -> None:
        self._printer.print(self, event)

    def close(self) -> None:
        self._printer.release(self)
