from __future__ import annotations

from pathlib import Path

import pytest
from kit.templates import ROOT, STACKS

from ci import cfn_yaml
from ci.deploy.capabilities import needed
from ci.package import stacks
from ci.package.templates import Template

SAM = "Transform: AWS::Serverless-2016-10-31\n"


def template(text: str) -> Template:
    return Template(Path("template.yaml"), cfn_yaml.load(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Resources: {r: {Type: AWS::SQS::Queue}}", ()),
        ("Resources: {r: {Type: AWS::IAM::Role}}", ("CAPABILITY_IAM",)),
        ("Resources: {r: {Type: AWS::IAM::Policy, Properties: {PolicyName: n}}}",
         ("CAPABILITY_IAM",)),
        ("Resources: {r: {Type: AWS::IAM::Role, Properties: {RoleName: n}}}",
         ("CAPABILITY_NAMED_IAM",)),
        ("Resources: {a: {Type: AWS::IAM::User}, b: {Type: AWS::IAM::Group,"
         " Properties: {GroupName: n}}}", ("CAPABILITY_NAMED_IAM",)),
        ("Transform: AWS::LanguageExtensions\nResources: {'Fn::ForEach::R': [N, [a], "
         "{'r${N}': {Type: AWS::IAM::Role}}]}", ("CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM")),
        ("Resources: {r: {Type: AWS::SQS::Queue, Properties: {'Fn::Transform': {Name: My}}}}",
         ("CAPABILITY_AUTO_EXPAND",)),
        (f"{SAM}Resources: {{r: {{Type: AWS::Serverless::Function, Properties: {{Role: arn}}}}}}",
         ("CAPABILITY_AUTO_EXPAND",)),
        (f"{SAM}Resources: {{r: {{Type: AWS::Serverless::Function, Properties: {{}}}}}}",
         ("CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM")),
        (f"{SAM}Globals: {{Function: {{Role: arn}}}}\n"
         "Resources: {r: {Type: AWS::Serverless::Function, Properties: {}}}",
         ("CAPABILITY_AUTO_EXPAND",)),
    ],
)  # fmt: skip
def test_just_what_a_template_needs(text: str, wanted: tuple[str, ...]) -> None:
    assert needed(template(text)) == wanted


def test_nested_templates_need_theirs() -> None:
    inner = template("Resources: {r: {Type: AWS::IAM::Role, Properties: {RoleName: n}}}")
    outer = template("Resources: {r: {Type: AWS::CloudFormation::Stack}}")
    place = ("Resources", "r", "Properties", "TemplateURL")
    whole = Template(outer.path, outer.document, (), ((place, inner),))
    assert needed(whole) == ("CAPABILITY_NAMED_IAM",)


def test_the_own_stacks_need_what_the_pipeline_gives_them() -> None:
    found = {stack.name: needed(stack.template) for stack in stacks.read(ROOT, "dev")}
    datasets = "sdlf-engineering-meteorites"
    assert found == dict.fromkeys(STACKS, ("CAPABILITY_IAM",)) | {datasets: ()}
