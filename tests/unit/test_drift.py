from __future__ import annotations

from pathlib import Path

import pytest

from ci import drift
from ci.drift import Declared

LAYER = "common-datalake-library"
URI = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/${pEnvironment}-%s:${pEcrImageTag}"
LISTED = """\
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Repositories:
    - Image
    - [common-datalake-library, a, b]
    - r&{Image}:
        Type: AWS::ECR::Repository
        Properties: {RepositoryName: !Sub '${pPrefix}-${Image}'}
"""
SINGLE = """\
Resources:
  rLayer:
    Type: AWS::ECR::Repository
    Properties: {RepositoryName: !Sub '${pPrefix}-common-datalake-library'}
  rA:
    Type: AWS::ECR::Repository
    Properties: {RepositoryName: !Join ['-', [!Ref pPrefix, a]]}
"""


def tree(root: Path, infrastructure: str = "", **stacks: str) -> Path:
    files = {"codepipeline/codepipeline.yaml": infrastructure} if infrastructure else {}
    files |= {f"cfn/{name}/template.yaml": text for name, text in stacks.items()}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return root


def function(uri: str, kind: str = "AWS::Lambda::Function") -> str:
    place = f"Code: {{ImageUri: {uri}}}" if kind == "AWS::Lambda::Function" else f"ImageUri: {uri}"
    return f"Resources:\n  rF:\n    Type: {kind}\n    Properties: {{{place}}}\n"


def found(root: Path, *functions: str) -> list[str]:
    return [str(problem) for problem in drift.find(root, functions, LAYER)]


def test_nothing_to_compare_with_is_no_problem(tmp_path: Path) -> None:
    assert found(tmp_path, "a") == []


@pytest.mark.parametrize(
    "uri",
    [
        f"!Sub '{URI % 'a'}'",
        f"!Sub ['{URI % 'a'}', {{X: y}}]",
        "!Join ['', [!Ref pHost, /, !Ref pPrefix, '-a:', !Ref pTag]]",
        f"!If [Own, !Sub '${{pHost}}/${{pPrefix}}-a:1', !Sub '{URI % 'a'}']",
        "!Sub '${pHost}/folder/${pPrefix}-a@${pDigest}'",
    ],
)
@pytest.mark.parametrize("kind", ["AWS::Lambda::Function", "AWS::Serverless::Function"])
def test_images_are_known_by_what_follows_the_prefix(tmp_path: Path, uri: str, kind: str) -> None:
    declared = drift.declared(tree(tmp_path, one=function(uri, kind)))
    assert declared.users == {"a": ["cfn/one/template.yaml: rF"]}


@pytest.mark.parametrize("uri", ["!Ref pImage", "public.ecr.aws/x/y:1", "!GetAtt rOther.Uri"])
def test_images_of_others_are_left_alone(tmp_path: Path, uri: str) -> None:
    assert drift.declared(tree(tmp_path, one=function(uri))).users == {}


def test_a_new_function_is_told_what_it_takes(tmp_path: Path) -> None:
    root = tree(tmp_path, LISTED, one=function(f"!Sub '{URI % 'a'}'"))
    [repository, stack, second] = found(root, "a", "b", "new-one")
    assert "has no image repository for dockerfiles/new-one" in repository
    assert "add the line '- new-one' to the list of Fn::ForEach::Repositories" in repository
    assert stack.startswith("dockerfiles/b: is run by no template")
    assert second.startswith("dockerfiles/new-one: is run by no template in cfn/")
    assert "${pEnvironment}-new-one:${pEcrImageTag}" in second


def test_single_repositories_are_told_as_such(tmp_path: Path) -> None:
    [add] = found(tree(tmp_path, SINGLE), "a", "b")
    assert "add an AWS::ECR::Repository with RepositoryName: !Sub ${pPrefix}-b" in add
    [remove] = found(tmp_path)
    assert "there is no dockerfiles/a" in remove
    assert "remove that AWS::ECR::Repository, or add dockerfiles/a/Dockerfile" in remove


def test_what_is_left_over_is_told_with_its_place(tmp_path: Path) -> None:
    root = tree(tmp_path, LISTED, one=function(f"!Sub '{URI % 'gone'}'"))
    problems = found(root, "a", "b")
    assert any(
        p.startswith("cfn/one/template.yaml: rF: runs the image 'gone'") and "remove" in p
        for p in problems
    )
    [problem] = [p for p in found(root, "a") if "repository 'b'" in p]
    assert "remove the line '- b' from the list of Fn::ForEach::Repositories" in problem


def test_the_layer_needs_its_repository() -> None:
    [problem] = drift.compare(Declared(["a"], {"a": ["x"]}, listed=True), ["a"], LAYER)
    assert "has no image repository for the common layer" in str(problem)


def test_a_misspelt_name_is_pointed_out() -> None:
    there = Declared(None, {"stage-a-proces-object": ["cfn/stagea/template.yaml: rF"]})
    problem = drift.compare(there, ["stage-a-process-object"], LAYER)[0]
    assert "(cfn/stagea/template.yaml: rF runs 'stage-a-proces-object')" in str(problem)


@pytest.mark.parametrize("text", ["Resources: [", "- a", "Resources: text", "\x00"])
def test_a_template_that_cannot_be_read_is_packagings_matter(tmp_path: Path, text: str) -> None:
    declared = drift.declared(tree(tmp_path, text))
    assert not declared.repositories
