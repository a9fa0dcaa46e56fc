"""``#{Namespace.Variable}`` in an action's configuration.

Source: CodePipeline User Guide, "Variables reference".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

REFERENCE = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_.-]+)\}")
EXECUTION = "codepipeline"
"""The namespace of what is known of every execution."""
OF_EXECUTION = frozenset({"PipelineExecutionId"})
PIPELINE = "variables"
"""The namespace of the pipeline's own variables."""


class Unresolved(Exception):
    """A variable that no action has given; the message is its name."""


def references(text: str) -> Iterator[tuple[str, str]]:
    """Namespace and name of every variable that ``text`` refers to."""
    return ((match[1], match[2]) for match in REFERENCE.finditer(text))


def filled(text: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """``text`` with the values of its variables, by namespace and name. Raises Unresolved."""

    def value(match: re.Match[str]) -> str:
        try:
            return known[match[1]][match[2]]
        except KeyError as error:
            raise Unresolved(match[0]) from error

    return REFERENCE.sub(value, text)
