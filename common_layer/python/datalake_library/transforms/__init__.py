"""Transforms, found by the name that a dataset's record gives: one module each."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from datalake_library.errors import ConfigurationError


def find(stage: str, name: str) -> ModuleType:
    """The module of a transform. ``stage`` is ``stage_a_transforms`` or ``stage_b_transforms``."""
    if name.isidentifier():
        path = f"{__name__}.{stage}.{name}"
        try:
            return import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:  # the transform is there, and lacks a dependency
                raise
    raise ConfigurationError(f"there is no transform {name!r} in {stage}")
