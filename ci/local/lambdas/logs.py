"""What functions print, in files as CloudWatch's log streams: one for each environment.

A function has a directory, each of its environments a file in it. Lines start with the time (UTC)
at which they came. The platform's own lines (START, END, REPORT, INIT_REPORT) are AWS's.
Source: "Working with Lambda function logs" and "Monitoring performance with Lambda", AWS.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import IO


class LogStream:
    """The log of one environment. Writes at once: a killed host leaves what was printed."""

    def __init__(self, directory: Path, environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
        self.path = directory / f"{began}-{environment[:8]}.log"
        self._file: IO[str] = self.path.open("w", encoding="utf-8", buffering=1)
        self._begun = b""

    def line(self, text: str) -> None:
        """A line of the platform; what the function printed before comes before it."""
        if self._begun:
            self.printed(b"\n")
        self._write(text)

    def printed(self, output: bytes) -> None:
        """Output of the function; the end of a line that is not whole yet waits."""
        *lines, self._begun = (self._begun + output).split(b"\n")
        for line in lines:
            self._write(line.decode(errors="replace"))

    def close(self) -> None:
        if self._begun:
            self.printed(b"\n")
        self._file.close()

    def _write(self, text: str) -> None:
        if not self._file.closed:  # a helper's last words may come late
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._file.write(f"{now}\t{text}\n")


def report(
    request_id: str,
    seconds: float,
    memory_mb: int,
    peak_kib: int,
    *,
    init_seconds: float | None = None,
    status: str = "",
    error_type: str = "",
) -> str:
    """A REPORT line. Time is billed by the millisecond, rounded up, initialization included."""
    billed = ceil(seconds * 1000) + ceil((init_seconds or 0) * 1000)
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {seconds * 1000:.2f} ms",
        f"Billed Duration: {billed} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {ceil(peak_kib / 1024)} MB",
    ]
    parts += [f"Init Duration: {init_seconds * 1000:.2f} ms"] if init_seconds is not None else []
    parts += [f"Status: {status}"] if status else []
    parts += [f"Error Type: {error_type}"] if error_type else []
    return "\t".join(parts)


def init_report(seconds: float, phase: str, status: str, error_type: str = "") -> str:
    """An INIT_REPORT line: an initialization that failed. ``phase`` is ``init`` or ``invoke``."""
    parts = [f"INIT_REPORT Init Duration: {seconds * 1000:.2f} ms", f"Phase: {phase}"]
    parts += [f"Status: {status}", *([f"Error Type: {error_type}"] if error_type else [])]
    return "\t".join(parts)
