from __future__ import annotations

import pytest
from kit import stacks

from ci import cfn_yaml
from ci.errors import PipelineError
from ci.package.sam import expanded, is_sam

pytest.importorskip("samtranslator")


def test_a_plain_template_is_left_as_it_is() -> None:
    document = cfn_yaml.load(stacks.PLAIN)
    assert not is_sam(document)
    assert expanded(document, {}, stacks.REGION, "template.yaml") == document


def test_functions_become_plain_ones() -> None:
    text = stacks.SAM.replace("CodeUri: code/", "CodeUri: s3://b/code")
    document = cfn_yaml.load(
        text.replace("DefinitionUri: machine.asl.json", "DefinitionUri: s3://b/m")
    )
    before = cfn_yaml.load(
        text.replace("DefinitionUri: machine.asl.json", "DefinitionUri: s3://b/m")
    )
    plain = expanded(document, {"pEcrImageTag": "x"}, "eu-west-1", "template.yaml")
    assert document == before
    assert "Transform" not in plain
    kinds = {name: each["Type"] for name, each in plain["Resources"].items()}
    assert kinds["rRouting"] == kinds["rZip"] == "AWS::Lambda::Function"
    assert plain["Resources"]["rZip"]["Properties"]["Code"] == {"S3Bucket": "b", "S3Key": "code"}
    assert plain["Resources"]["rRouting"]["Properties"]["Timeout"] == 60


def test_other_transforms_stay() -> None:
    document = {
        "Transform": ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"],
        "Resources": {"r": {"Type": "AWS::SQS::Queue"}},
    }
    assert is_sam(document)
    plain = expanded(document, {}, stacks.REGION, "template.yaml")
    assert plain["Transform"] == ["AWS::LanguageExtensions"]


def test_policies_by_name_need_no_account() -> None:
    function = {"ImageUri": "x", "PackageType": "Image", "Policies": ["AmazonS3ReadOnlyAccess"]}
    document = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"r": {"Type": "AWS::Serverless::Function", "Properties": function}},
    }
    role = expanded(document, {}, stacks.REGION, "t")["Resources"]["rRole"]["Properties"]
    assert "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" in role["ManagedPolicyArns"]


def test_all_that_sam_refuses_is_told() -> None:
    functions = {
        name: {"Type": "AWS::Serverless::Function", "Properties": {"Handler": 5}}
        for name in ("rOne", "rTwo")
    }
    document = {"Transform": "AWS::Serverless-2016-10-31", "Resources": functions}
    with pytest.raises(PipelineError) as raised:
        expanded(document, {}, stacks.REGION, "cfn/one/template.yaml")
    assert raised.value.where == "cfn/one/template.yaml"
    assert "rOne" in raised.value.what
    assert "rTwo" in raised.value.what
