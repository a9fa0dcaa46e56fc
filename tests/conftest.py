"""Makes ``kit``, the helpers beside this file, importable for every test."""

import signal
from collections import Counter

import pytest

# A run in the background ignores Ctrl-C, and its children inherit that; tests interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why tests were skipped: each reason once, with how many it took."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}", yellow=True)
