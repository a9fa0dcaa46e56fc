from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import stacks

from ci.aws import Credentials
from ci.cloud import Cloud
from ci.package.pinning import Images, Pinned, pinned
from ci.package.stacks import read
from ci.registry.reference import parse_repository

HOST = "127.0.0.1:5000"
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
CLOUD = Cloud(stacks.ACCOUNT, stacks.REGION, "bucket", Credentials("key", "secret"))
FUNCTION = """\
Parameters: {{pPrefix: {{Type: String, Default: dev}}, pEcrImageTag: {{Type: String}}}}
Conditions: {{Dev: !Equals [!Ref pPrefix, dev], Later: !Equals [!ImportValue x, y]}}
Resources:
  r: {{Type: AWS::Lambda::Function, {more}Properties: {{Code: {{ImageUri: {uri}}}}}}}
"""


def images(registry: str = HOST, account_registry: str = stacks.ECR) -> Images:
    built = {
        name: parse_repository(f"{registry}/dev-{name}").at(digest)
        for name, digest in {"routing": DIGEST, "heavy": OTHER}.items()
    }
    return Images(built, ("build-7", "abcdef0"), registry, account_registry)


def result(tree: Path, by_digest: bool = True, run: Images | None = None) -> Pinned:
    [stack, *_] = read(tree, "dev")
    file = stack.parameters.tagged(stack.template.declared, "build-7")
    stack = type(stack)(stack.name, stack.directory, stack.template, file)
    return pinned(stack, run or images(), CLOUD.pseudo_parameters("one"), by_digest=by_digest)


def of_uri(tmp_path: Path, uri: str, more: str = "", **options: Any) -> Pinned:
    return result(stacks.stack(tmp_path, FUNCTION.format(uri=uri, more=more)), **options)


def uri_of(found: Pinned) -> Any:
    return found.template.document["Resources"]["r"]["Properties"]["Code"]["ImageUri"]


@pytest.mark.parametrize(
    "uri",
    [
        f"'{stacks.ECR}/dev-routing:latest'",
        f"'{stacks.ECR}/dev-routing'",
        "!Sub '${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/${pPrefix}-routing:x'",
        "!Sub ['${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/${p}-routing:${t}',"
        " {p: !Ref pPrefix, t: !Ref pEcrImageTag}]",
        f"!Join ['', ['{stacks.ECR}/', !Ref pPrefix, '-routing:', !Ref pEcrImageTag]]",
    ],
)
def test_however_an_image_is_named_it_is_pinned(uri: str, tmp_path: Path) -> None:
    found = of_uri(tmp_path, uri)
    assert uri_of(found) == f"{stacks.ECR}/dev-routing@{DIGEST}"
    [use] = found.uses
    assert (use.function, use.made, use.uri) == ("routing", True, uri_of(found))
    assert use.where.endswith("template.yaml: Resources.r.Properties.Code.ImageUri")
    assert found.notes == ()


def test_the_registry_of_the_run_may_be_named_itself(tmp_path: Path) -> None:
    found = of_uri(tmp_path, f"'{HOST}/dev-routing:x'")
    assert uri_of(found) == f"{HOST}/dev-routing@{DIGEST}"


def test_on_aws_the_registry_is_the_accounts_own(tmp_path: Path) -> None:
    run = images(stacks.ECR)
    found = of_uri(tmp_path, f"'{stacks.ECR}/dev-routing:x'", run=run)
    assert uri_of(found) == f"{stacks.ECR}/dev-routing@{DIGEST}"
    other = "999999999999.dkr.ecr.us-east-1.amazonaws.com/dev-routing:x"
    assert uri_of(of_uri(tmp_path, f"'{other}'", run=run)) == other


def test_a_registry_with_a_folder(tmp_path: Path) -> None:
    run = images(f"{HOST}/team")
    assert run.built["routing"].repository == f"{HOST}/team/dev-routing"
    [use] = of_uri(tmp_path, f"'{stacks.ECR}/dev-routing:x'", run=run).uses
    assert use.function == "routing"


@pytest.mark.parametrize(
    ("uri", "function", "made"),
    [
        (f"{stacks.ECR}/dev-routing:build-7", "routing", True),
        (f"{stacks.ECR}/dev-routing:build-6", "routing", False),
        (f"{stacks.ECR}/dev-foreign:build-7", "", False),
        (f"{stacks.ECR}/dev-routing@{DIGEST}", "routing", True),
        (f"{stacks.ECR}/dev-routing@{OTHER}", "routing", False),
    ],
)
def test_by_tag_nothing_changes(uri: str, function: str, made: bool, tmp_path: Path) -> None:
    found = of_uri(tmp_path, f"'{uri}'", by_digest=False)
    assert uri_of(found) == uri
    assert [(use.function, use.made) for use in found.uses] == [(function, made)]


def test_a_digest_of_the_templates_own_stays(tmp_path: Path) -> None:
    uri = f"{stacks.ECR}/dev-routing@{OTHER}"
    found = of_uri(tmp_path, f"'{uri}'")
    assert uri_of(found) == uri
    assert [use.made for use in found.uses] == [False]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("!ImportValue x", "only the deployment tells it (Fn::ImportValue)"),
        ("!Sub '${rRepository}:x'", "only the deployment tells it (Ref rRepository)"),
        ("'not an image'", "is no image"),
    ],
)
def test_what_cannot_be_told_is_left_and_said(uri: str, says: str, tmp_path: Path) -> None:
    found = of_uri(tmp_path, uri)
    assert found.uses == ()
    [note] = found.notes
    assert says in note
    assert "left as it is" in note


def test_branches_and_conditions(tmp_path: Path) -> None:
    here, there = f"'{stacks.ECR}/dev-routing:x'", f"'{stacks.ECR}/dev-heavy:x'"
    known = of_uri(tmp_path, f"!If [Dev, {here}, {there}]")
    assert [use.function for use in known.uses] == ["routing"]
    later = of_uri(tmp_path, f"!If [Later, {here}, !If [Dev, {there}, !Ref AWS::NoValue]]")
    assert [use.function for use in later.uses] == ["routing", "heavy"]
    assert uri_of(later) == {
        "Fn::If": [
            "Later",
            f"{stacks.ECR}/dev-routing@{DIGEST}",
            {"Fn::If": ["Dev", f"{stacks.ECR}/dev-heavy@{OTHER}", {"Ref": "AWS::NoValue"}]},
        ]
    }


def test_a_resource_that_its_condition_rules_out_runs_nothing(tmp_path: Path) -> None:
    uri = f"'{stacks.ECR}/dev-nowhere:x'"
    never = FUNCTION.replace("[!Ref pPrefix, dev]", "[!Ref pPrefix, prod]")
    tree = stacks.stack(tmp_path, never.format(uri=uri, more="Condition: Dev, "))
    assert result(tree).uses == ()
    assert len(of_uri(tmp_path, uri, more="Condition: Later, ").uses) == 1


def test_nested_stacks_by_what_their_parent_passes_on(tmp_path: Path) -> None:
    found = result(stacks.room(tmp_path))
    [(_, child)] = found.template.nested
    uri = child.document["Resources"]["rHeavy"]["Properties"]["Code"]["ImageUri"]
    assert uri == f"{stacks.ECR}/dev-heavy@{OTHER}"
    assert sorted(use.function for use in found.uses) == ["heavy", "routing"]


def test_sam_functions_and_their_globals(tmp_path: Path) -> None:
    template = f"""
Transform: AWS::Serverless-2016-10-31
Globals: {{Function: {{PackageType: Image, ImageUri: '{stacks.ECR}/dev-heavy:x'}}}}
Resources:
  rOwn: {{Type: AWS::Serverless::Function, Properties: {{ImageUri: '{stacks.ECR}/dev-routing:x'}}}}
  rShared: {{Type: AWS::Serverless::Function, Properties: {{Timeout: 5}}}}
"""
    document = result(stacks.stack(tmp_path, template)).template.document
    assert document["Globals"]["Function"]["ImageUri"] == f"{stacks.ECR}/dev-heavy@{OTHER}"
    own = document["Resources"]["rOwn"]["Properties"]["ImageUri"]
    assert own == f"{stacks.ECR}/dev-routing@{DIGEST}"


def test_only_image_uris_change(tmp_path: Path) -> None:
    [stack, *_] = read(stacks.room(tmp_path), "dev")
    before = stack.template.document
    after = result(tmp_path).template.document
    assert before["Resources"].pop("rRouting") != after["Resources"].pop("rRouting")
    assert before == after


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_partitions(region: str, partition: str, suffix: str) -> None:
    pseudo = Cloud("1", region, "bucket", Credentials("k", "s")).pseudo_parameters("one")
    assert (pseudo["AWS::Partition"], pseudo["AWS::URLSuffix"]) == (partition, suffix)


def test_the_environment_of_the_run_decides_which_image_is_meant(tmp_path: Path) -> None:
    """As the pipeline's ParameterOverrides do, whatever parameters.json says."""
    template = FUNCTION.replace("{{pPrefix:", "{{pEnvironment: {{Type: String}}, pPrefix:")
    uri = f"'{stacks.HOST}/${{pEnvironment}}-routing:x'"
    text = template.format(uri=f"!Sub {uri}", more="")
    tree = stacks.stack(tmp_path, text, pEnvironment="dev")
    [stack] = read(tree, "stg")
    built = {"routing": parse_repository(f"{HOST}/stg-routing").at(DIGEST)}
    run = Images(built, ("x",), HOST, stacks.ECR)
    found = pinned(stack, run, CLOUD.pseudo_parameters("one"), by_digest=True)
    assert uri_of(found) == f"{stacks.ECR}/stg-routing@{DIGEST}"
