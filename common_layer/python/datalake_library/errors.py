"""What can be wrong with data or its configuration; Lambda reports the class."""

from __future__ import annotations


class DataError(Exception):
    """An object cannot be processed, however often it is tried."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class ConfigurationError(Exception):
    """A function's environment or a table lacks something, or holds what makes no sense."""
