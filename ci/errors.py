"""Errors that are meant for the user: where, what, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class PipelineError(Exception):
    """The work failed in a way that the user can understand and mend (exit code 1).

    ``where`` names the thing at fault (a file, a function, a registry, an option), ``what`` says
    what is wrong with it, ``fix`` what to do next. Printed as ``where: what`` and, on a line of
    its own, ``fix``.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.where = where
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  → {self.fix}"


class InputError(PipelineError):
    """The input or the configuration is wrong and nothing was started (exit code 2)."""

    exit_code = 2


class InputErrors(InputError):
    """Several input errors found together, so that one run shows them all (exit code 2)."""

    def __init__(self, errors: list[InputError]) -> None:
        super().__init__(errors[0].where, errors[0].what, errors[0].fix)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


@contextmanager
def once_started() -> Iterator[None]:
    """In here something was started: wrong input that shows only now is a failure of the work."""
    try:
        yield
    except InputError as error:
        raise PipelineError(error.where, error.what, error.fix) from error
