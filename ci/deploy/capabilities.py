"""Which capabilities a template needs, and no more. Pure.

Sources: AWS CloudFormation API Reference, CreateChangeSet, ``Capabilities``; AWS SAM Developer
Guide, "AWS::Serverless::Function" and "AWS::Serverless::StateMachine", ``Role``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ci.package.places import at, resources
from ci.package.sam import is_sam
from ci.package.templates import Template

IAM, NAMED_IAM, AUTO_EXPAND = (
    "CAPABILITY_IAM",
    "CAPABILITY_NAMED_IAM",
    "CAPABILITY_AUTO_EXPAND",
)
_NAMES: Mapping[str, str] = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}
"""The types that need CAPABILITY_IAM, with the property by which they have a name of their own."""
_SAM_ROLES = ("AWS::Serverless::Function", "AWS::Serverless::StateMachine")


def needed(template: Template) -> tuple[str, ...]:
    """Capabilities of a template and those nested in it, sorted. The named one includes the
    other."""
    found = set(_of(template))
    if NAMED_IAM in found:
        found.discard(IAM)
    return tuple(sorted(found))


def _of(template: Template) -> Iterator[str]:
    document = template.document
    if document.get("Transform") or _has_transform(document):
        yield AUTO_EXPAND
    for _, resource in resources(document):
        kind = str(resource.get("Type"))
        properties = resource.get("Properties")
        properties = properties if isinstance(properties, dict) else {}
        if kind in _NAMES:
            yield NAMED_IAM if properties.get(_NAMES[kind]) else IAM
        elif kind in _SAM_ROLES and is_sam(document):
            shared = at(document, ("Globals", kind.rpartition("::")[2]))
            if not {"Role"} & {**(shared if isinstance(shared, dict) else {}), **properties}.keys():
                yield IAM
    for _, child in template.nested:
        yield from _of(child)


def _has_transform(node: Any) -> bool:
    if isinstance(node, dict):
        return "Fn::Transform" in node or any(map(_has_transform, node.values()))
    return isinstance(node, list) and any(map(_has_transform, node))
