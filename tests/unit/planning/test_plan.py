from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit import trees

from ci.errors import InputErrors
from ci.planning import plan_view
from ci.planning.build_info import BuildInfo, Fact
from ci.planning.plan import Plan, make
from ci.settings import OPTIONS, parse

HOST = "127.0.0.1:5000"
BUILD = BuildInfo(Fact("build-1", "CODEBUILD_BUILD_ID"), Fact("abcdef0", "git"))


def planned(tree: Path, *argv: str, registry: str = HOST, **environ: str) -> Plan:
    return make(parse([*argv, "--source", str(tree)], environ), BUILD, registry)


def test_names_tags_arguments_and_bases(tmp_path: Path) -> None:
    plan = planned(trees.tree(tmp_path, "routing-lambda", "b"), "plan", RESOURCE_PREFIX="dev")
    image = plan.functions[1]
    assert image.repository == f"{HOST}/dev-routing-lambda"
    assert image.build_args == (
        ("ECR_COMMON_DATALAKE_REPO_URL", f"{HOST}/dev-common-datalake-library"),
    )
    assert {str(base): users for base, users in plan.bases.items()} == {
        f"{HOST}/dev-common-datalake-library:latest": ("b", "routing-lambda"),
        "public.ecr.aws/lambda/python:3.13": ("b", "routing-lambda"),
    }
    assert plan.build.tags == ("build-1", "abcdef0", "latest")
    assert plan.layer is not None
    assert plan.layer.repository == plan.layer_repository


def test_the_seeds_spelling_of_the_dockerfile_counts(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a")
    (tree / "dockerfiles/a/Dockerfile").rename(tree / "dockerfiles/a/DockerFile")
    assert planned(tree, "app").functions[0].dockerfile == "DockerFile"


def test_a_foreign_tree_with_leftovers(tmp_path: Path) -> None:
    """What SAM and Python leave behind, and files beside the functions, are no functions."""
    tree = trees.tree(tmp_path, "a")
    for leftover in (".aws-sam/build/A/Dockerfile", "__pycache__/x.pyc", "_old/Dockerfile"):
        trees.write(tree / "dockerfiles" / leftover, "FROM scratch\n")
    for file in ("template.yaml", "samconfig.toml", "README.md"):
        trees.write(tree / "dockerfiles" / file, "")
    assert [image.name for image in planned(tree, "app").functions] == ["a"]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["b"], ["b"]),
        (["stage-a-*"], ["stage-a-x", "stage-a-y"]),
        (["b", "*x"], ["b", "stage-a-x"]),
    ],
)
def test_only(only: list[str], chosen: list[str], tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a", "b", "stage-a-x", "stage-a-y")
    plan = planned(tree, "app", "--only", *only)
    assert [image.name for image in plan.functions] == chosen
    assert all(image.why == "named by --only" for image in plan.functions)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a")
    (tree / "dockerfiles/a/src").chmod(0)
    with pytest.raises(InputErrors, match=r"src: cannot be read: Permission denied"):
        planned(tree, "app")
    (tree / "dockerfiles/a/src").chmod(0o755)


def test_what_only_leaves_out_is_not_judged(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "good")
    (tree / "dockerfiles/BAD").mkdir()
    assert [image.name for image in planned(tree, "app", "--only", "good").functions] == ["good"]
    with pytest.raises(InputErrors):
        planned(tree, "app")


def test_what_dockerignore_names_is_neither_sent_nor_counted(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a")
    trees.write(tree / "dockerfiles/a/.dockerignore", "# big\ndata\n!data/keep\n")
    trees.write(tree / "dockerfiles/a/data/big", "x" * 10_000)
    trees.write(tree / "dockerfiles/a/data/keep", "x")
    image = planned(tree, "app").functions[0]
    assert image.exclude == ("data", "!data/keep")
    assert image.context_bytes < 1000


@pytest.mark.parametrize(
    ("command", "layer", "functions"),
    [("layer", True, 0), ("app", False, 1), ("rehearse", True, 1), ("plan", True, 1)],
)
def test_each_command_builds_its_part(
    command: str, layer: bool, functions: int, tmp_path: Path
) -> None:
    plan = planned(trees.tree(tmp_path, "a"), command)
    assert bool(plan.layer) is layer
    assert len(plan.functions) == functions


def test_a_tree_without_a_layer_of_its_own_can_be_built(tmp_path: Path) -> None:
    trees.function(tmp_path, "a")
    assert planned(tmp_path, "app").functions
    assert planned(tmp_path, "plan").layer is None


def test_a_trial_on_a_configured_machine_leaves_the_account_alone(tmp_path: Path) -> None:
    ecr = "012345678901.dkr.ecr.us-east-1.amazonaws.com"
    tree = trees.tree(tmp_path, "a")
    named = {"ECR_COMMON_DATALAKE_REPO_URL": f"{ecr}/stg-layer"}
    trial = planned(tree, "rehearse", **named)
    assert trial.layer_repository == f"{HOST}/stg-common-datalake-library"
    assert "which --target local leaves alone" in trial.notes[0]
    real = planned(tree, "app", "--target", "aws", registry=ecr, **named)
    assert real.layer_repository == f"{ecr}/stg-layer"
    with pytest.raises(InputErrors, match=r"is not in 127\.0\.0\.1:5000"):
        planned(tree, "layer", "--layer-repository", f"{ecr}/stg-layer")
    pulled = planned(tree, "app", "--layer-repository", f"{ecr}/stg-layer")
    assert pulled.layer_repository == f"{ecr}/stg-layer"


def test_a_layer_can_be_named_by_its_digest(tmp_path: Path) -> None:
    tree, digest = trees.tree(tmp_path, "a"), f"sha256:{'5' * 64}"
    given = {"PIPELINE_LAYER_DIGEST": digest}
    plan = planned(tree, "app", **given)
    [(layer, pinned)] = plan.given_bases.items()
    assert (layer.repository, layer.tag, pinned) == (plan.layer_repository, "latest", digest)
    assert f"= {digest}, PIPELINE_LAYER_DIGEST" in plan_view.as_text(plan)
    # Who builds a layer builds on that one.
    assert planned(tree, "rehearse", **given).given_bases == {}
    with pytest.raises(InputErrors, match="--layer-digest: names a layer, and layer builds one"):
        planned(tree, "layer", "--layer-digest", digest)


def test_the_local_cloud_in_place_of_aws_takes_the_accounts_layer(tmp_path: Path) -> None:
    ecr = "012345678901.dkr.ecr.us-east-1.amazonaws.com"
    tree = trees.tree(tmp_path, "a")
    named = {"ECR_COMMON_DATALAKE_REPO_URL": f"{ecr}/dev-layer", "PIPELINE_TARGET": "aws"}
    played = planned(tree, "app", AWS_ENDPOINT_URL="http://localhost:5100", **named)
    assert played.layer_repository == f"{HOST}/dev-layer"
    elsewhere = planned(tree, "app", AWS_ENDPOINT_URL="http://aws.example.com", **named)
    assert elsewhere.layer_repository == f"{ecr}/dev-layer"


def test_the_plan_is_pure(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a", "b")
    before = sorted((path, path.stat().st_mtime_ns) for path in tree.rglob("*"))
    assert planned(tree, "plan") == planned(tree, "plan")
    assert sorted((path, path.stat().st_mtime_ns) for path in tree.rglob("*")) == before


def test_the_text_shows_each_setting_with_its_origin(tmp_path: Path) -> None:
    tree = trees.tree(tmp_path, "a")
    text = plan_view.as_text(planned(tree, "plan", "--jobs", "7", RESOURCE_PREFIX="dev"))
    lines = [line.split() for line in text.splitlines()]
    for option in OPTIONS:
        assert any(line[:1] == [option.flag] for line in lines)
    assert ["--jobs", "7", "--jobs"] in lines
    assert ["--prefix", "dev", "RESOURCE_PREFIX"] in lines
    assert ["--region", "us-east-1", "default"] in lines
    assert ["build", "tag", "build-1", "CODEBUILD_BUILD_ID"] in lines


def test_the_json_holds_all_of_it(tmp_path: Path) -> None:
    plan = plan_view.as_json(planned(trees.tree(tmp_path, "a"), "plan"))
    assert plan["tags"] == ["build-1", "abcdef0", "latest"]
    assert plan["deployment_tag"] == "build-1"
    assert plan["settings"]["jobs"] == {"value": 20, "origin": "default"}
    assert plan["functions"][0]["pulls"][1] == "public.ecr.aws/lambda/python:3.13"
    assert plan["layer"]["name"] == "common-datalake-library"
