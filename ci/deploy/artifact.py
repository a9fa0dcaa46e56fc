"""The artifact that ``app`` left: what is deployed, read and judged before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.errors import InputError, InputErrors
from ci.package import parameters, stacks
from ci.package.parameters import IMAGE_TAG

TEMPLATE = "packaged-template.yaml"
_AGAIN = "package the stacks with `python ci/main.py app` and a bucket (S3_BUCKET, --bucket)"


@dataclass(frozen=True)
class Packaged:
    """A packaged stack. ``parameters`` are the values that the environment's deployment gives;
    ``tags`` and ``policy`` are those of its parameter file, None where it has none."""

    name: str
    path: Path
    text: str
    document: dict[str, Any]
    parameters: Mapping[str, str]
    tags: Mapping[str, str] | None
    policy: str | None


def read(room: Path, prefix: str) -> list[Packaged]:
    """The stacks of ``room`` (``<report>/cfn``). Raises InputErrors with all that is wrong."""
    if not room.is_dir():
        raise InputError(str(room), "is not there: nothing is packaged", _AGAIN)
    problems: list[InputError] = []
    found = [
        _stack(directory, name, prefix, problems)
        for directory, name in stacks.named(room, problems).items()
    ]
    if problems:
        raise InputErrors(problems)
    if not found:
        raise InputError(str(room), "has no stack in it", _AGAIN)
    return [each for each in found if each]


def _stack(directory: Path, name: str, prefix: str, problems: list[InputError]) -> Packaged | None:
    path = directory / TEMPLATE
    text, document = _template(path, problems)
    file = parameters.read(directory / parameters.FILE, problems)
    if document is None or not file:
        return None
    declared = {
        key: about
        for key, about in (document.get("Parameters") or {}).items()
        if isinstance(about, dict)
    }
    file = parameters.for_environment(file, declared, prefix, str(path), problems)
    if "Default" not in declared.get(IMAGE_TAG, {"Default": ""}) and IMAGE_TAG not in file.values:
        what = f"lacks {IMAGE_TAG}, which the template requires"
        problems.append(InputError(str(file.path), what, _AGAIN))
    rest = json.loads(file.text)
    tags, policy = rest.get("Tags"), rest.get("StackPolicy")
    for key, value in (("Tags", tags), ("StackPolicy", policy)):
        if value is not None and not isinstance(value, dict):
            fix = 'write an object: {"name": …}'
            problems.append(InputError(str(file.path), f"has {key}, which is no object", fix))
            return None
    return Packaged(
        name,
        path,
        text,
        document,
        file.values,
        None if tags is None else {key: str(value) for key, value in tags.items()},
        None if policy is None else json.dumps(policy),
    )


def _template(path: Path, problems: list[InputError]) -> tuple[str, dict[str, Any] | None]:
    try:
        text = path.read_text(encoding="utf-8")
        document = cfn_yaml.load(text)
    except FileNotFoundError:
        problems.append(InputError(str(path), "is not there: it is not packaged", _AGAIN))
        return "", None
    except (OSError, UnicodeDecodeError) as error:
        problems.append(InputError(str(path), f"cannot be read: {error}", _AGAIN))
        return "", None
    except cfn_yaml.CfnYamlError as error:
        problems.append(InputError(f"{path}:{error.line}", f"is no template: {error}", _AGAIN))
        return "", None
    return text, document
