"""EventBridge's rules: which events they match, and what they hand to their targets.

The patterns are moto's to match. Sources: EventBridge User Guide, "Event patterns", "Input
transformation", "Event bus targets".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci.errors import PipelineError

_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")


@dataclass(frozen=True)
class Target:
    """Where a rule sends events; ``input`` is their text, None for the event itself."""

    arn: str
    role: str
    input: str | None


@dataclass(frozen=True)
class Rule:
    """A rule by its pattern; ``targets`` as declared."""

    name: str
    pattern: Mapping[str, Any]
    targets: Sequence[Mapping[str, Any]]

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether the rule is about this event."""
        from moto.events.models import EventPattern

        return bool(EventPattern(None, dict(self.pattern)).matches_event(dict(event)))  # type: ignore[arg-type]

    def sent(self, event: Mapping[str, Any]) -> Iterator[Target]:
        """What each target gets of an event. Raises PipelineError."""
        for target in self.targets:
            yield Target(
                str(target.get("Arn", "")),
                str(target.get("RoleArn", "")),
                self._input(target, event),
            )

    def _input(self, target: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
        where = f"rule {self.name}, target {target.get('Id')}"
        if "Input" in target:
            return str(target["Input"])
        if path := target.get("InputPath"):
            return json.dumps(_at(event, str(path), where))
        if transformer := target.get("InputTransformer"):
            values = {
                name: _at(event, str(path), where)
                for name, path in (transformer.get("InputPathsMap") or {}).items()
            }
            return transformed(str(transformer.get("InputTemplate", "")), values, where)
        return None


def read(properties: Mapping[str, Any], name: str) -> Rule | None:
    """The rule of resolved properties of an ``AWS::Events::Rule``; None for one that matches no
    events: a schedule, or one that is disabled. Raises PipelineError for a pattern that is none."""
    if properties.get("State") == "DISABLED" or not properties.get("EventPattern"):
        return None
    pattern = properties["EventPattern"]
    if isinstance(pattern, str):
        try:
            pattern = json.loads(pattern)
        except ValueError as error:
            raise PipelineError(
                f"rule {name}", f"has an EventPattern that is no JSON: {error}", "mend it"
            ) from error
    for place, value in _leaves(pattern, ()):
        if not isinstance(value, list) or not value:
            what = f"has {'.'.join(place)} in its EventPattern, which is no list"
            raise PipelineError(f"rule {name}", what, "write [value], also for a single one")
    return Rule(str(properties.get("Name", name)), pattern, properties.get("Targets") or [])


def transformed(template: str, values: Mapping[str, Any], where: str) -> str:
    """A template with its placeholders filled: as JSON, and within quotes as their bare text.

    Raises PipelineError for a placeholder without a value.
    """
    parts, quoted, end = [], False, 0
    for match in _PLACEHOLDER.finditer(template):
        before = template[end : match.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        end = match.end()
        if match[1] not in values:
            what = f"has <{match[1]}> in its InputTemplate, and no such name in its InputPathsMap"
            raise PipelineError(where, what, "add it there, or correct it")
        text = json.dumps(values[match[1]])
        bare = text[1:-1] if isinstance(values[match[1]], str) else text.replace('"', '\\"')
        parts += [before, bare if quoted else text]
    return "".join([*parts, template[end:]])


def _at(event: Mapping[str, Any], path: str, where: str) -> Any:
    """What a JSON path such as ``$.detail.commitId`` names. Raises PipelineError."""
    found: Any = event
    if path == "$":
        return found
    if not re.fullmatch(r"\$(\.[A-Za-z0-9_-]+)+", path):
        raise PipelineError(where, f"has the path {path}", "write it as $.name.name")
    for step in path.split(".")[1:]:
        if not isinstance(found, Mapping) or step not in found:
            what = f"takes {path} from an event that does not have it"
            raise PipelineError(where, what, "see what the service's events hold")
        found = found[step]
    return found


def _leaves(node: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, (*place, str(key)))
    else:
        yield place, node
