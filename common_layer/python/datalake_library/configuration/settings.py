"""A function's own configuration: its environment variables, set by its stack."""

from __future__ import annotations

import os

from datalake_library.errors import ConfigurationError


def setting(name: str) -> str:
    """The value of an environment variable; ConfigurationError where it is unset or empty."""
    if value := os.environ.get(name):
        return value
    raise ConfigurationError(f"environment variable {name} is not set")
