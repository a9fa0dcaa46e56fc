"""CloudFormation's YAML, read into plain data: ``!Sub x`` is ``{"Fn::Sub": "x"}``.

Both forms mean the same to CloudFormation; the AWS CLI reads and writes templates this way, too.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.resolver import BaseResolver

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MERGE = "tag:yaml.org,2002:merge"


class CfnYamlError(ValueError):
    """Text that is no template; ``line`` counts from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


def load(text: str) -> dict[str, Any]:
    """A template or any other mapping, in YAML or JSON. Raises CfnYamlError."""
    try:
        document = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError:
        document = _load_yaml(text)
    if not isinstance(document, dict):
        raise CfnYamlError("is no mapping", 1)
    return document


def dump(document: Any) -> str:
    """YAML of plain data, keys in their order, texts of several lines as blocks."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def _load_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_CfnLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        # What the end of the text lacks, libyaml misses on the line after it.
        last = max(len(text.splitlines()), 1)
        raise CfnYamlError(what, min(mark.line + 1, last) if mark else 1) from error
    except yaml.YAMLError as error:
        raise CfnYamlError(str(error).splitlines()[0], 1) from error
    except RecursionError as error:
        raise CfnYamlError("contains itself, or is nested too deeply", 1) from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object (``object_pairs_hook``): of two equal keys, readers differ in which one wins.

    Raises CfnYamlError for a key that comes twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CfnYamlError(f"found the key {twice!r} twice", 1)
    return found


class _CfnLoader(_Loader):  # type: ignore[misc]
    """A safe loader in which intrinsic functions are data and dates stay text."""

    # `Version: 2012-10-17` of a policy is text, and JSON has no dates.
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(self, node: yaml.MappingNode) -> dict[Hashable, Any]:
        """A mapping by text: an account's number is no octal number, ``on`` no truth value.

        PyYAML would let the last of two equal keys win.
        """
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                problem = f"found the key {key.value!r} twice"
                raise ConstructorError(problem=problem, problem_mark=key.start_mark)
            key.tag = BaseResolver.DEFAULT_SCALAR_TAG
            seen.add(key.value)
        found: dict[Hashable, Any] = self.construct_mapping(node, deep=True)
        return found

    def intrinsic(self, suffix: str, node: yaml.Node) -> dict[str, Any]:
        """``!Name value`` in its long form."""
        name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
        if isinstance(node, yaml.ScalarNode):
            value: Any = self.construct_scalar(node)
            if suffix == "GetAtt":
                value = value.split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
            value = self.mapping(node)
        return {name: value}


_CfnLoader.add_constructor(BaseResolver.DEFAULT_MAPPING_TAG, _CfnLoader.mapping)
_CfnLoader.add_multi_constructor("!", _CfnLoader.intrinsic)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
