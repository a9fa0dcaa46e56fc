"""The plan as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ci.package.stacks import Stack
from ci.planning.build_info import Fact
from ci.planning.plan import Image, Plan
from ci.settings import OPTIONS
from ci.values import tell_bytes


def as_text(plan: Plan) -> str:
    """The plan, for people: what is built and why, and the origin of each setting."""
    return "\n".join(_lines(plan)) + "\n"


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan, for programs."""
    build = plan.build
    return {
        "version": 1,
        "command": "plan",
        "target": plan.settings.target,
        "registry": plan.registry,
        "settings": {
            option.name: {
                "value": _plain(getattr(plan.settings, option.name)),
                "origin": plan.settings.origins[option.name],
            }
            for option in OPTIONS
        },
        "build": {"tag": _fact(build.build), "commit": _fact(build.commit)},
        "tags": list(build.tags),
        "deployment_tag": build.deployment_tag.value,
        "layer_repository": plan.layer_repository,
        "layer": _image(plan.layer) if plan.layer else None,
        "functions": [_image(image) for image in plan.functions],
        "bases": [
            {"reference": str(base), "digest": plan.given_bases.get(base), "used_by": list(users)}
            for base, users in plan.bases.items()
        ],
        "stacks": [_stack(stack) for stack in plan.stacks],
        "notes": list(plan.notes),
    }


def _lines(plan: Plan) -> Iterator[str]:
    build = plan.build
    yield "Settings"
    for option in OPTIONS:
        value = _shown(getattr(plan.settings, option.name))
        yield f"  {option.flag:<24}{value:<38}{plan.settings.origins[option.name]}".rstrip()
    yield "\nBuild"
    for name, fact in (
        ("build tag", build.build),
        ("commit", build.commit),
        ("deployed by tag", build.deployment_tag),
    ):
        yield f"  {name:<24}{fact.value if fact else '-':<38}{fact.origin if fact else 'unknown'}"
    yield f"  {'tags':<24}{', '.join(build.tags)}"
    yield "\nPulled, each resolved to a digest once"
    given = plan.given_bases
    for base, users in plan.bases.items():
        yield f"  {base!s:<58}{_users(users)}"
        if base in given:
            yield f"  {'':<4}= {given[base]}, {plan.settings.origins['layer_digest']}"
    yield "\nBuilt and pushed"
    for image in plan.images:
        size = tell_bytes(image.context_bytes)
        yield f"  {image.name:<34}{image.repository}"
        yield f"  {'':<34}{image.directory / image.dockerfile}, context {size}; {image.why}"
    if plan.stacks:
        yield f"\nPackaged into {plan.settings.bucket}, images by {plan.settings.pin}"
    for stack in plan.stacks:
        uploads = len(stack.template.artifacts) + len(stack.template.nested)
        yield f"  {stack.name:<34}{stack.template.path}, local artifacts: {uploads}"
    for note in plan.notes:
        yield f"\nNote: {note}"


def _users(users: tuple[str, ...]) -> str:
    shown = ", ".join(users[:3])
    return shown if len(users) <= 3 else f"{shown} and {len(users) - 3} more"


def _image(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "repository": image.repository,
        "directory": str(image.directory),
        "dockerfile": image.dockerfile,
        "build_args": dict(image.build_args),
        "pulls": [str(pull.reference) for pull in image.pulls],
        "context_bytes": image.context_bytes,
        "why": image.why,
    }


def _stack(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "template": str(stack.template.path),
        "parameters": dict(stack.parameters.values),
        "artifacts": [str(artifact.path) for artifact in stack.template.artifacts],
    }


def _fact(fact: Fact | None) -> dict[str, str] | None:
    return {"value": fact.value, "origin": fact.origin} if fact else None


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join("=".join(part) if isinstance(part, tuple) else part for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
