"""Which properties of a template may name local files.

Source: AWS CLI reference, ``aws cloudformation package``, and the table behind it
(``artifact_exporter`` of the version that ``tools/requirements.txt`` pins).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci.package.places import Place, at, resources

SAM_FUNCTION = "AWS::Serverless::Function"
GLOBALS: Place = ("Globals", "Function")
NESTED = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}
"""The properties that name another template."""


@dataclass(frozen=True)
class _Property:
    """``zipped``: a single file travels as a zip, too. ``whole``: without a value it means the
    template's own directory."""

    place: Place
    zipped: bool = False
    whole: bool = False


def _property(path: str, *, zipped: bool = False, whole: bool = False) -> _Property:
    return _Property(tuple(path.split(".")), zipped, whole)


_PROPERTIES: Mapping[str, tuple[_Property, ...]] = {
    SAM_FUNCTION: (_property("CodeUri", zipped=True, whole=True),),
    "AWS::Serverless::Api": (_property("DefinitionUri"),),
    "AWS::Serverless::LayerVersion": (_property("ContentUri", zipped=True),),
    "AWS::Serverless::StateMachine": (_property("DefinitionUri"),),
    "AWS::Lambda::Function": (_property("Code", zipped=True, whole=True),),
    "AWS::Lambda::LayerVersion": (_property("Content", zipped=True),),
    "AWS::StepFunctions::StateMachine": (_property("DefinitionS3Location"),),
    "AWS::Glue::Job": (_property("Command.ScriptLocation"),),
    "AWS::ApiGateway::RestApi": (_property("BodyS3Location"),),
    "AWS::AppSync::GraphQLSchema": (_property("DefinitionS3Location"),),
    "AWS::AppSync::Resolver": (
        _property("RequestMappingTemplateS3Location"),
        _property("ResponseMappingTemplateS3Location"),
    ),
    "AWS::AppSync::FunctionConfiguration": (
        _property("RequestMappingTemplateS3Location"),
        _property("ResponseMappingTemplateS3Location"),
    ),
    "AWS::CodeCommit::Repository": (_property("Code.S3", zipped=True),),
    "AWS::ElasticBeanstalk::ApplicationVersion": (_property("SourceBundle"),),
}
_METADATA = "AWS::ServerlessRepo::Application"


@dataclass(frozen=True)
class Reference:
    """A property that names something local; ``value`` is a path from the template's directory."""

    place: Place
    value: str
    zipped: bool = False


def local_files(document: dict[str, Any]) -> Iterator[Reference]:
    """What the AWS CLI would upload, less the code that it invents for functions that have none."""
    shared = at(document, GLOBALS)
    shared = shared if isinstance(shared, dict) else {}
    for place, resource in resources(document):
        kind = str(resource.get("Type"))
        properties = resource.get("Properties")
        if not isinstance(properties, dict):
            continue
        for each in _PROPERTIES.get(kind, ()):
            value = at(properties, each.place)
            if kind == SAM_FUNCTION:
                if not _has_code(properties, shared):
                    continue
                value = value or shared.get("CodeUri")
            if value is None and each.whole:
                value = "."
            if _is_local(value):
                yield Reference((*place, "Properties", *each.place), value, each.zipped)
    for name in ("ReadmeUrl", "LicenseUrl"):
        if _is_local(value := at(document, ("Metadata", _METADATA, name))):
            yield Reference(("Metadata", _METADATA, name), value)
    yield from _includes(document, ())


def nested_templates(document: dict[str, Any]) -> Iterator[Reference]:
    """The local templates that are stacks within the stack."""
    for place, resource in resources(document):
        if not (name := NESTED.get(str(resource.get("Type")))):
            continue
        value = at(resource, ("Properties", name))
        if _is_local(value) and not value.startswith(("http://", "https://")):
            yield Reference((*place, "Properties", name), value)


def _has_code(properties: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """Whether a SAM function is made of a zip: neither an image nor inline."""
    both = {**shared, **properties}
    return both.get("PackageType") != "Image" and not {"ImageUri", "InlineCode"} & both.keys()


def _is_local(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not value.startswith("s3://")


def _includes(node: Any, place: Place) -> Iterator[Reference]:
    """``Fn::Transform`` of ``AWS::Include``, wherever it stands."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        if key == "Fn::Transform" and at(child, ("Name",)) == "AWS::Include":
            where: Place = ("Parameters", "Location")
            if _is_local(value := at(child, where)):
                yield Reference((*place, key, *where), value)
        elif isinstance(child, dict | list):
            yield from _includes(child, (*place, key))
