"""``app`` from the function's source to the artifact that CodePipeline deploys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3
import jsonschema
import pytest
from kit import stacks, trees
from kit.pipeline import ROOT, Run, run

from ci import cfn_yaml

pytestmark = pytest.mark.e2e

FUNCTION = "FROM scratch\nCOPY src/lambda_function.py .\nCMD ['lambda_function.lambda_handler']\n"
SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())

App = Callable[..., Run]


@pytest.fixture
def prefix() -> str:
    return f"p{uuid.uuid4().hex[:10]}"


@pytest.fixture
def tree(tmp_path: Path, prefix: str) -> Path:
    """Two functions, and the stacks that run them under a prefix of the test's own."""
    tree = trees.tree(tmp_path / "tree", "routing", "heavy", dockerfile=FUNCTION)
    stacks.room(tree)
    for name in ("template.yaml", "nested/child.yaml"):
        path = tree / "cfn/plain" / name
        path.write_text(path.read_text().replace("AllowedValues: [dev, stg]", ""))
    for name in ("plain", "sam"):
        values = json.dumps({"Parameters": {"pPrefix": prefix}}, indent=4)
        trees.write(tree / "cfn" / name / "parameters.json", values)
    return tree


@pytest.fixture
def app(tmp_path: Path, prefix: str, base_image: str, moto_port: int) -> App:
    def start(tree: Path, *argv: str, build: str = "1", **environ: str) -> Run:
        argv = ("app", "--source", str(tree), "--engine", "embedded", "--prefix", prefix, *argv)
        environ = {"S3_BUCKET": "artifacts", "PIPELINE_BUILD_ID": build} | environ
        return run(tmp_path / f"out-{build}", *argv, PIPELINE_COMMIT="a" * 40, **environ)

    boto3.client("s3").create_bucket(Bucket="artifacts")
    return start


def uris(done: Run) -> dict[str, str]:
    return {
        image["function"]: image["uri"]
        for stack in done.report["stacks"]
        for image in stack["images"]
    }


def test_a_change_of_one_function_changes_one_line_of_the_templates(
    app: App, tree: Path, prefix: str
) -> None:
    first = app(tree)
    assert first.code == 0, first.err
    jsonschema.validate(first.report, SCHEMA)
    assert [stack["status"] for stack in first.report["stacks"]] == ["packaged", "packaged"]
    assert uris(first) == {
        name: f"{stacks.ECR}/{prefix}-{name}@{first.functions[name]['digest']}"
        for name in ("routing", "heavy")
    }
    trees.write(tree / "dockerfiles/routing/src/lambda_function.py", "# changed\n")
    second = app(tree, build="2")
    assert second.code == 0, second.err
    assert "2 of 2 stacks" in second.out
    assert uris(second)["heavy"] == uris(first)["heavy"]

    before, after = (
        (done.results / "cfn/plain/packaged-template.yaml").read_text().splitlines()
        for done in (first, second)
    )
    [changed] = [line for line in after if line not in before]
    assert changed.strip() == f"ImageUri: {uris(second)['routing']}"
    assert len(before) == len(after)
    assert all(not stack["uploaded"] for stack in second.report["stacks"])
    values = json.loads((second.results / "cfn/plain/parameters.json").read_text())
    assert values["Parameters"] == {"pPrefix": prefix, "pEcrImageTag": "build-2"}


def test_pin_tag_is_the_seeds_way(app: App, tree: Path) -> None:
    done = app(tree, "--pin", "tag")
    assert done.code == 0, done.err
    template = cfn_yaml.load((done.results / "cfn/sam/packaged-template.yaml").read_text())
    before = cfn_yaml.load(stacks.SAM)["Resources"]["rRouting"]
    assert template["Resources"]["rRouting"] == before


def test_a_failed_function_leaves_no_artifact_of_a_run_before(app: App, tree: Path) -> None:
    assert app(tree).code == 0
    trees.write(tree / "dockerfiles/heavy/Dockerfile", "FROM scratch\nCOPY nowhere .\n")
    done = app(tree)
    assert done.code == 1
    assert not (done.results / "cfn").exists()
    assert done.report["stacks"] == []


def test_an_image_that_nobody_built_fails_the_stack_by_both_names(
    app: App, tree: Path, prefix: str
) -> None:
    path = tree / "cfn/plain/nested/child.yaml"
    path.write_text(path.read_text().replace("-heavy:", "-nowhere:"))
    done = app(tree)
    assert done.code == 1
    assert f"stack plain runs {stacks.ECR}/{prefix}-nowhere:build-1" in done.out
    assert {s["name"]: s["status"] for s in done.report["stacks"]} == {
        "plain": "failed",
        "sam": "packaged",
    }
    assert not (done.results / "cfn").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tree: (tree / "cfn/plain/scripts/job.py").unlink(), "refers to 'scripts/job.py'"),
        (lambda tree: (tree / "cfn/sam/parameters.json").unlink(), "parameters.json: is not there"),
    ],
)
def test_bad_input_starts_nothing(
    change: Callable[[Path], None], says: str, app: App, tree: Path
) -> None:
    change(tree)
    done = app(tree)
    assert done.code == 2
    assert done.err.startswith("Nothing was started.")
    assert says in done.err
    assert not (done.results / "report.json").exists()


def test_a_bucket_that_is_not_there_starts_nothing(app: App, tree: Path) -> None:
    done = app(tree, S3_BUCKET="nowhere")
    assert done.code == 2
    assert "bucket nowhere: is not there" in done.err
    assert "aws s3 mb s3://nowhere" in done.err


def test_an_accounts_bucket_is_left_alone_by_a_local_run(tree: Path, tmp_path: Path) -> None:
    environ = {"S3_BUCKET": "artifacts", "AWS_ENDPOINT_URL": ""}
    argv = ("plan", "--source", str(tree), "--build-id", "1")
    done = run(tmp_path, *argv, **environ)
    assert done.code == 0, done.err
    assert "S3_BUCKET names artifacts, which --target local leaves alone" in done.out
    assert "Packaged into" not in done.out
    assert run(tmp_path, *argv, "--bucket", "artifacts", **environ).code == 2
    only = run(tmp_path, *argv, "--only", "heavy", **environ)
    assert "with --only no stack is packaged" in only.out


def test_the_plan_tells_what_is_packaged(tree: Path, tmp_path: Path) -> None:
    environ = {"S3_BUCKET": "artifacts", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = run(tmp_path, "plan", "--source", str(tree), "--json", **environ)
    assert [stack["name"] for stack in json.loads(done.out)["stacks"]] == ["plain", "sam"]
    assert "Packaged into artifacts, images by digest" in (
        run(tmp_path, "plan", "--source", str(tree), **environ).out
    )
