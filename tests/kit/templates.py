"""The project's own templates, read for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.cfn_loops import expanded

ROOT = Path(__file__).parents[2]
STACKS = sorted(path.parent.name for path in ROOT.glob("cfn/*/template.yaml"))
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("dockerfiles/*/Dockerfile"))
TEMPLATES = {
    str(path.relative_to(ROOT)): path
    for path in sorted([*ROOT.glob("cfn/*/template.yaml"), *ROOT.glob("codepipeline/*.yaml")])
    if "AWSTemplateFormatVersion" in path.read_text()
}
INFRASTRUCTURE = "codepipeline/codepipeline.yaml"


def template(name: str) -> dict[str, Any]:
    """A template by its path in the checkout or its stack's name, loops written out."""
    path = name if name in TEMPLATES else f"cfn/{name}/template.yaml"
    return expanded(cfn_yaml.load(TEMPLATES[path].read_text()), {})


def parameters(stack: str) -> dict[str, Any]:
    return json.loads((ROOT / "cfn" / stack / "parameters.json").read_text())


def resources(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Properties of each resource of a type."""
    return {
        name: resource["Properties"]
        for name, resource in document["Resources"].items()
        if resource["Type"] == kind
    }


def find(node: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from find(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from find(value, key)


def branches(node: Any) -> Iterator[Any]:
    """What an ``Fn::If`` may give, AWS::NoValue left out."""
    if isinstance(node, dict) and set(node) == {"Fn::If"}:
        for branch in node["Fn::If"][1:]:
            yield from branches(branch)
    elif node != {"Ref": "AWS::NoValue"}:
        yield node
