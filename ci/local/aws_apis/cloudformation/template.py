"""Templates as they are given: read, judged, and with transforms carried out.

Source: AWS CloudFormation User Guide, "Template anatomy" and "CloudFormation quotas".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci import cfn_yaml
from ci.cfn_yaml import CfnYamlError
from ci.local.aws_apis.cloudformation.intrinsics import VARIABLE
from ci.local.aws_apis.cloudformation.refusals import Refused

BODY_BYTES = 51_200
URL_BYTES = 1_048_576
_SECTIONS = frozenset(
    {
        "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Hooks", "Mappings",
        "Metadata", "Outputs", "Parameters", "Resources", "Rules", "Transform",
    }
)  # fmt: skip
_RESOURCE_KEYS = frozenset(
    {
        "Condition", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "Properties",
        "Type", "UpdatePolicy", "UpdateReplacePolicy",
    }
)  # fmt: skip
_POLICIES = ("Delete", "Retain", "Snapshot", "RetainExceptOnCreate")


@dataclass(frozen=True)
class Template:
    """A template. ``text`` is what was given, ``document`` what it means in long form.

    ``processed`` is None until its transforms were carried out.
    """

    text: str
    document: dict[str, Any]
    processed: dict[str, Any] | None = None

    @property
    def plain(self) -> dict[str, Any]:
        """The template without transforms."""
        return self.document if self.processed is None else self.processed

    @property
    def transforms(self) -> list[str]:
        asked = self.document.get("Transform", [])
        listed = asked if isinstance(asked, list) else [asked]
        return [str(each.get("Name") if isinstance(each, dict) else each) for each in listed]

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The parameters that it declares."""
        return _mapping(self.plain, "Parameters")

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return _mapping(self.plain, "Resources")

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return _mapping(self.plain, "Outputs")


def read(text: str) -> Template:
    """A template. Raises Refused for what is none."""
    try:
        document = cfn_yaml.load(text)
    except CfnYamlError as error:
        what = f"Template format error: YAML not well-formed. (line {error.line}: {error})"
        raise Refused(what) from error
    if unknown := sorted(map(str, document.keys() - _SECTIONS)):
        raise Refused(f"Invalid template property or properties [{', '.join(unknown)}]")
    for section in ("Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Rules"):
        if section in document and not isinstance(document[section], dict):
            raise Refused(f"Template format error: [/{section}] must be an object")
    if not document.get("Resources"):
        raise Refused("Template format error: At least one Resources member must be defined.")
    return Template(text, document)


def judge(document: Mapping[str, Any], known_types: Mapping[str, Any]) -> None:
    """Refuses what CloudFormation finds before it makes anything: shapes, types, references.

    ``document`` has no transforms any more.
    """
    unknown = []
    for name, resource in _mapping(document, "Resources").items():
        if not str(name).isalnum():
            raise Refused(f"Template format error: Resource name {name} is non alphanumeric.")
        where = f"[/Resources/{name}]"
        if not isinstance(resource, dict):
            raise Refused(f"Template format error: {where} resource definition is malformed")
        if not isinstance(resource.get("Type"), str):
            raise Refused(
                f"Template format error: {where} Every Resources object must contain a Type member."
            )
        if extra := sorted(map(str, resource.keys() - _RESOURCE_KEYS)):
            raise Refused(f"Invalid template resource property '{extra[0]}'")
        if not isinstance(resource.get("Properties", {}), dict | None):
            raise Refused(f"Template format error: {where} Properties must be an object")
        for key in ("DeletionPolicy", "UpdateReplacePolicy"):
            if isinstance(given := resource.get(key, "Delete"), str) and given not in _POLICIES:
                raise Refused(
                    f"Template format error: Unrecognized {key} {given} for resource {name}"
                )
        if resource["Type"] not in known_types:
            unknown.append(resource["Type"])
    if unknown:
        listed = ", ".join(dict.fromkeys(unknown))
        raise Refused(f"Template format error: Unrecognized resource types: [{listed}]")
    _judge_references(document)
    for key, output in _mapping(document, "Outputs").items():
        if not isinstance(output, dict) or "Value" not in output:
            raise Refused(f"Template format error: Output {key} is malformed. (no Value)")


def _judge_references(document: Mapping[str, Any]) -> None:
    resources = _mapping(document, "Resources")
    known = resources.keys() | _mapping(document, "Parameters").keys()
    for section in ("Resources", "Outputs"):
        missing = {
            name
            for name in references(_mapping(document, section))
            if name not in known and not name.startswith("AWS::")
        }
        if missing:
            listed = ", ".join(sorted(missing))
            raise Refused(
                f"Template format error: Unresolved resource dependencies [{listed}] "
                f"in the {section} block of the template"
            )
    conditions = _mapping(document, "Conditions")
    for section in ("Conditions", "Resources", "Outputs"):
        used = set(_conditions(document.get(section)))
        if section != "Conditions":
            used |= {
                str(each["Condition"])
                for each in _mapping(document, section).values()
                if isinstance(each, dict) and "Condition" in each
            }
        if absent := sorted(used - conditions.keys()):
            raise Refused(
                f"Template format error: Unresolved condition dependency {absent[0]} "
                f"in the {section} block of the template"
            )


def references(node: Any) -> Iterator[str]:
    """Every logical id or parameter that ``Ref``, ``GetAtt``, ``Sub`` or ``DependsOn`` names."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        match key, value:
            case "Ref", str():
                yield value
            case "Fn::GetAtt", [str(name), *_]:
                yield name
            case "Fn::GetAtt", str():
                yield value.partition(".")[0]
            case "Fn::Sub", str():
                yield from _variables(value, {})
            case "Fn::Sub", [str(text), dict(own)]:
                yield from _variables(text, own)
                yield from references(own)
            case "DependsOn", str() if "Type" in node:
                yield value
            case "DependsOn", list() if "Type" in node:
                yield from map(str, value)
            case _:
                yield from references(value)


def get_atts(node: Any) -> Iterator[tuple[str, str]]:
    """Every logical id and attribute of ``GetAtt``, also inside of ``Sub``."""
    if isinstance(node, list):
        for each in node:
            yield from get_atts(each)
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        match key, value:
            case "Fn::GetAtt", [str(name), *rest] if all(isinstance(each, str) for each in rest):
                yield name, ".".join(rest)
            case "Fn::GetAtt", str():
                yield value.partition(".")[0], value.partition(".")[2]
            case "Fn::Sub", (str() | [str(), dict()]):
                own = value[1] if isinstance(value, list) else {}
                yield from _dotted(value if isinstance(value, str) else value[0], own)
                yield from get_atts(own)
            case _:
                yield from get_atts(value)


def _dotted(text: str, own: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for literal, written in VARIABLE.findall(text):
        name = written.strip()
        if not literal and "." in name and name not in own and not name.startswith("AWS::"):
            resource, _, attribute = name.partition(".")
            yield resource, attribute


def _variables(text: str, own: Mapping[str, Any]) -> Iterator[str]:
    for literal, written in VARIABLE.findall(text):
        name = written.strip()
        if not literal and name not in own:
            yield name if name.startswith("AWS::") else name.partition(".")[0]


def _conditions(node: Any) -> Iterator[str]:
    """Names of conditions that functions use."""
    if isinstance(node, list):
        for each in node:
            yield from _conditions(each)
        return
    if not isinstance(node, dict):
        return
    if len(node) == 1 and isinstance(name := node.get("Condition"), str):
        yield name
    for key, value in node.items():
        if key == "Fn::If" and isinstance(value, list) and value:
            yield str(value[0])
        yield from _conditions(value)


def _mapping(document: Mapping[str, Any], section: str) -> dict[str, Any]:
    found = document.get(section)
    return found if isinstance(found, dict) else {}
