from __future__ import annotations

from typing import Any

import pytest

from ci import cfn_yaml
from ci.package.references import local_files, nested_templates


def found(resources: str, rest: str = "") -> dict[str, tuple[str, bool]]:
    document = cfn_yaml.load(f"Resources:\n  r: {resources}\n{rest}")
    return {
        ".".join(map(str, each.place)): (each.value, each.zipped) for each in local_files(document)
    }


@pytest.mark.parametrize(
    ("kind", "properties", "where", "zipped"),
    [
        ("AWS::Lambda::Function", "Code: x", "Code", True),
        ("AWS::Lambda::LayerVersion", "Content: x", "Content", True),
        ("AWS::Serverless::Function", "CodeUri: x", "CodeUri", True),
        ("AWS::Serverless::LayerVersion", "ContentUri: x", "ContentUri", True),
        ("AWS::Serverless::Api", "DefinitionUri: x", "DefinitionUri", False),
        ("AWS::Serverless::StateMachine", "DefinitionUri: x", "DefinitionUri", False),
        ("AWS::StepFunctions::StateMachine", "DefinitionS3Location: x", "DefinitionS3Location",
         False),
        ("AWS::Glue::Job", "Command: {ScriptLocation: x}", "Command.ScriptLocation", False),
        ("AWS::ApiGateway::RestApi", "BodyS3Location: x", "BodyS3Location", False),
        ("AWS::AppSync::GraphQLSchema", "DefinitionS3Location: x", "DefinitionS3Location", False),
        ("AWS::CodeCommit::Repository", "Code: {S3: x}", "Code.S3", True),
        ("AWS::ElasticBeanstalk::ApplicationVersion", "SourceBundle: x", "SourceBundle", False),
    ],
)  # fmt: skip
def test_every_property_that_may_be_local(
    kind: str, properties: str, where: str, zipped: bool
) -> None:
    place = f"Resources.r.Properties.{where}"
    assert found(f"{{Type: {kind}, Properties: {{{properties}}}}}") == {place: ("x", zipped)}


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Lambda::Function", "Code: {ImageUri: x}"),
        ("AWS::Lambda::Function", "Code: {ZipFile: x}"),
        ("AWS::Lambda::Function", "Code: s3://bucket/key"),
        ("AWS::Serverless::Function", "CodeUri: s3://bucket/key"),
        ("AWS::Serverless::Function", "CodeUri: !Sub x"),
        ("AWS::Serverless::Function", "PackageType: Image"),
        ("AWS::Serverless::Function", "{PackageType: Image, CodeUri: x}"),
        ("AWS::Serverless::Function", "ImageUri: x"),
        ("AWS::Serverless::Function", "InlineCode: x"),
        ("AWS::Serverless::Api", "DefinitionBody: {}"),
        ("AWS::StepFunctions::StateMachine", "DefinitionString: '{}'"),
        ("AWS::Glue::Job", "Command: !If [A, {ScriptLocation: x}, {}]"),
        ("AWS::Glue::Job", "Command: {ScriptLocation: !Sub 's3://${B}/x'}"),
        ("AWS::SQS::Queue", "QueueName: x"),
    ],
)
def test_what_is_not_local_is_left_alone(kind: str, properties: str) -> None:
    properties = properties if properties.startswith("{") else f"{{{properties}}}"
    assert found(f"{{Type: {kind}, Properties: {properties}}}") == {}


@pytest.mark.parametrize("kind", ["AWS::Lambda::Function", "AWS::Serverless::Function"])
def test_a_function_without_code_is_made_of_the_templates_directory(kind: str) -> None:
    """Source: AWS CLI reference, `cloudformation package`: "the current working directory"."""
    [(value, zipped)] = found(f"{{Type: {kind}, Properties: {{Handler: h.h}}}}").values()
    assert (value, zipped) == (".", True)


def test_globals_decide_what_a_sam_function_is_made_of() -> None:
    function = "{Type: AWS::Serverless::Function, Properties: {Handler: h.h}}"
    assert found(function, "Globals: {Function: {PackageType: Image}}") == {}
    assert found(function, "Globals: {Function: {CodeUri: src}}") == {
        "Resources.r.Properties.CodeUri": ("src", True)
    }


def test_includes_metadata_and_loops() -> None:
    rest = """
Metadata: {AWS::ServerlessRepo::Application: {ReadmeUrl: README.md, LicenseUrl: s3://b/k}}
Mappings: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: maps.yaml}}}
Outputs:
  a: [{Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/k}}}]
  b: [{Fn::Transform: {Name: Other, Parameters: {Location: x}}}]
"""
    loop = """{Type: AWS::SQS::Queue}
  Fn::ForEach::F:
    - N
    - [A, B]
    - {'f${N}': {Type: AWS::Lambda::Function, Properties: {Code: ./src}}}
"""
    assert found(loop, rest) == {
        "Resources.Fn::ForEach::F.2.f${N}.Properties.Code": ("./src", True),
        "Metadata.AWS::ServerlessRepo::Application.ReadmeUrl": ("README.md", False),
        "Mappings.Fn::Transform.Parameters.Location": ("maps.yaml", False),
    }


def test_nested_templates() -> None:
    def nested(kind: str, properties: dict[str, Any]) -> list[str]:
        resources = {"r": {"Type": kind, "Properties": properties}}
        return [each.value for each in nested_templates({"Resources": resources})]

    assert nested("AWS::CloudFormation::Stack", {"TemplateURL": "a.yaml"}) == ["a.yaml"]
    assert nested("AWS::Serverless::Application", {"Location": "a.yaml"}) == ["a.yaml"]
    assert nested("AWS::Serverless::Application", {"Location": {"ApplicationId": "x"}}) == []
    for url in ("https://s3.amazonaws.com/b/k", "s3://b/k", {"Fn::Sub": "x"}):
        assert nested("AWS::CloudFormation::Stack", {"TemplateURL": url}) == []
