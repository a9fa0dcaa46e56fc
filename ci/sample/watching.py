"""A table that shows objects on their way, until nothing moves any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

import anyio
from anyio import to_thread

from ci.sample import tally
from ci.sample.lake import Lake
from ci.sample.tally import TITLES, Tally
from ci.stillness import Stillness

EVERY = 1.0
"""Seconds between two looks, at least; a look that takes long is followed by a longer pause."""


class Busy(Protocol):
    """Runs functions, and knows how many it runs."""

    @property
    def in_progress(self) -> int: ...


class View(Protocol):
    def show(self, now: Tally, seconds: float) -> None: ...


class _Lines:
    """A line for every change."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._last = stream, ""

    def show(self, now: Tally, seconds: float) -> None:
        if (line := now.line()) != self._last:
            self._last = line
            print(f"{seconds:6.1f} s  {line}", file=self._stream, flush=True)


class _Table:
    """One table that is redrawn."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, now: Tally, seconds: float) -> None:
        from rich.table import Table

        table = Table(caption=f"{seconds:.0f} s; Ctrl-C ends it")
        for title in TITLES:
            table.add_column(title, justify="right")
        table.add_row(*now.cells())
        self._live.update(table, refresh=True)


@contextmanager
def view(stream: IO[str]) -> Iterator[View]:
    """A table on a terminal, lines elsewhere."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), auto_refresh=False) as live:
        yield _Table(live)


async def until_still(lake: Lake, host: Busy | None, shown: View) -> Tally:
    """Show how far objects have come until nothing waits or works; the last tally.

    Raises PipelineError where the cloud does not answer.
    """
    stillness = Stillness(lake.cloud, lake.prefix)
    began, quiet = time.monotonic(), 0
    while True:
        looked = time.monotonic()
        busy = bool(host and host.in_progress) or await to_thread.run_sync(stillness.broken)
        now = await to_thread.run_sync(tally.take, lake)
        shown.show(now, time.monotonic() - began)
        quiet = 0 if busy else quiet + 1
        if quiet == 2:  # one look may miss what just moves from a place to another
            return now
        took = time.monotonic() - looked
        await anyio.sleep(max(EVERY - took, 2 * took if took > EVERY else 0.2))
