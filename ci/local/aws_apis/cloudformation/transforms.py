"""Transforms: ``AWS::Include``, ``AWS::LanguageExtensions``, SAM.

Source: AWS CloudFormation Template Reference, "Transform reference".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ci import cfn_loops, cfn_yaml
from ci.cfn_yaml import CfnYamlError
from ci.errors import PipelineError
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.template import Template
from ci.package import sam

_INCLUDE = "AWS::Include"
_KNOWN = (_INCLUDE, cfn_loops.TRANSFORM, sam.TRANSFORM)


def uses(template: Template) -> list[str]:
    """Names of the transforms that a template asks for, anywhere in it."""
    return template.transforms + list(_nested(template.document))


def processed(
    template: Template, values: Mapping[str, str], region: str, fetched: Callable[[str], str]
) -> Template:
    """The template with its transforms carried out.

    ``values`` are the parameters'; ``fetched`` gives the text at an S3 URL. Raises Refused.
    """
    for name in uses(template):
        if name not in _KNOWN:
            raise Refused(f"No transform named {name} found.")
    document = _with_snippets(template.document, fetched)
    try:
        document = cfn_loops.expanded(document, values)
    except cfn_loops.LoopError as error:
        raise Refused(f"Transform {cfn_loops.TRANSFORM} failed with: {error}") from error
    try:
        document = sam.expanded(document, values, region, "template")
    except PipelineError as error:
        raise Refused(f"Transform {sam.TRANSFORM} failed with: {error.what}") from error
    document.pop("Transform", None)
    return replace(template, processed=document)


def _with_snippets(document: dict[str, Any], fetched: Callable[[str], str]) -> dict[str, Any]:
    """``AWS::Include`` carried out: that of the whole template, and that of its parts."""
    asked = document.get("Transform", [])
    listed = asked if isinstance(asked, list) else [asked]
    result = {**document, "Transform": [each for each in listed if not isinstance(each, dict)]}
    for each in listed:
        if isinstance(each, dict):
            result = _included({**result, "Fn::Transform": each}, fetched)
    found: dict[str, Any] = _included(result, fetched)
    return found


def _nested(node: Any) -> Any:
    if isinstance(node, list):
        for each in node:
            yield from _nested(each)
    elif isinstance(node, dict):
        match node.get("Fn::Transform"):
            case {"Name": str(name)}:
                yield name
        for each in node.values():
            yield from _nested(each)


def _included(node: Any, fetched: Callable[[str], str]) -> Any:
    """With the snippets of ``Fn::Transform: {Name: AWS::Include, …}`` in their places."""
    if isinstance(node, list):
        return [_included(each, fetched) for each in node]
    if not isinstance(node, dict):
        return node
    result = {key: _included(each, fetched) for key, each in node.items() if key != "Fn::Transform"}
    match node.get("Fn::Transform"):
        case {"Name": name, "Parameters": {"Location": str(location)}} if name == _INCLUDE:
            try:
                result |= _included(cfn_yaml.load(fetched(location)), fetched)
            except CfnYamlError as error:
                raise Refused(
                    f"Transform {_INCLUDE} failed with: The specified S3 object's content should "
                    f"be valid Yaml/JSON ({location}, line {error.line}: {error})"
                ) from error
        case {"Name": name} if name == _INCLUDE:
            raise Refused(f"Transform {_INCLUDE} failed with: Missing required parameter Location")
    return result
