"""The project's own pipelines, rehearsed: every test goes on where the one before it ended."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jsonschema
import pytest
from kit import pipeline, registries
from kit.local_cloud import LocalCloud
from kit.pipeline import ROOT, Run
from kit.templates import FUNCTIONS, STACKS
from pyarrow import parquet

from ci.home import Home

pytestmark = pytest.mark.e2e

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())
PREFIX = "dev"
LAYER = f"{PREFIX}-common-datalake-library"
BUCKET = f"{PREFIX}-pipeline-artifacts-123456789012-us-east-1"


def statuses(run: Run) -> list[tuple[str, str]]:
    return [(each["name"], each["status"]) for each in run.report["pipelines"]]


def stacks(run: Run) -> dict[str, str]:
    return {each["name"]: each["status"] for each in run.report["stacks"]}


def changes(run: Run) -> dict[str, list[str]]:
    """Logical ids of what each stack's change set touched."""
    return {
        each["name"]: [change["logical_id"] for change in each["change_set"]]
        for each in run.report["stacks"]
        if each["change_set"]
    }


def deployed(cloud: LocalCloud) -> dict[str, str]:
    """Digest of each function that the cloud has."""
    functions = cloud.client("lambda").list_functions()["Functions"]
    return {
        each["FunctionName"].removeprefix(f"{PREFIX}-"): cloud.client("lambda")
        .get_function(FunctionName=each["FunctionName"])["Code"]["ImageUri"]
        .partition("@")[2]
        for each in functions
    }


def test_both_pipelines_end_well(first: Run) -> None:
    assert first.code == 0, first.err
    jsonschema.validate(first.report, SCHEMA)
    assert first.report["outcome"] == "succeeded"
    assert statuses(first) == [
        (f"{PREFIX}-common-layer", "succeeded"),
        (f"{PREFIX}-app", "succeeded"),
        (f"{PREFIX}-app", "repeated"),
    ]
    layer, image, push = first.report["pipelines"]
    assert layer["trigger"].endswith(f"to {PREFIX}-CommonLayerCode")
    assert image["trigger"].startswith(f"push of {LAYER}:latest")
    assert push["trigger"].endswith(f"to {PREFIX}-AppCode")
    assert image["revisions"] == push["revisions"]
    assert stacks(first) == dict.fromkeys(("datalake-infra-resources", *STACKS), "created")
    for stage in image["stages"]:
        for action in stage["actions"]:
            assert f"✓ {stage['name']} / {action['name']}: " in first.err


def test_stacks_hold_what_they_declare(first: Run, cloud: LocalCloud) -> None:
    built = {name: about["digest"] for name, about in first.functions.items()}
    assert sorted(built) == FUNCTIONS
    assert deployed(cloud) == built
    tables = cloud.client("dynamodb").list_tables()["TableNames"]
    assert sorted(tables) == [
        f"octagon-{name}-{PREFIX}"
        for name in ("Datasets", "ObjectMetadata", "PipelineExecutionHistory", "Pipelines")
    ]
    machines = cloud.client("stepfunctions").list_state_machines()["stateMachines"]
    assert len(machines) == 2
    buckets = [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    assert sum(f"{PREFIX}-datalake-" in name for name in buckets) == 3
    queues = cloud.client("sqs").list_queues()["QueueUrls"]
    assert sum(url.endswith(".fifo") for url in queues) >= 2
    databases = cloud.client("glue").get_databases()["DatabaseList"]
    assert [each["Name"] for each in databases] == [f"datalake_{PREFIX}_engineering"]
    parameters = cloud.client("ssm").get_parameters_by_path(Path="/DataLake/", Recursive=True)
    assert parameters["Parameters"]
    events = cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert events


def test_images_carry_the_tags_of_their_build_and_of_their_deployment(
    first: Run, images: str
) -> None:
    layer, app, _ = first.report["pipelines"]
    log = (first.results / "logs" / f"{PREFIX}-app-Build.log").read_text()
    number = re.search(r"build-([0-9a-f-]{36})", log)
    assert number
    tags = registries.tags(images, f"{PREFIX}-routing-lambda")
    digest = first.functions["routing-lambda"]["digest"]
    commit_tag = app["revisions"]["AppSource"][:7]
    for tag in (f"build-{number[1]}", commit_tag, "latest", f"deployed-{PREFIX}"):
        assert tags[tag] == digest, tag
    layers = registries.tags(images, LAYER)
    assert layers[layer["revisions"]["CommonLayerSource"][:7]] == layers["latest"]
    assert app["revisions"]["LayerImage"] == layers["latest"]


def test_the_samples_rows_are_in_parquet(first: Run, cloud: LocalCloud) -> None:
    files = sorted((ROOT / "sample_data/meteorites").glob("*.json"))
    sample = first.report["sample"]
    assert sample["uploaded"] == len(files) == len(sample["objects"])
    assert (sample["converted"], sample["failed"]) == (len(files) - 1, 1)
    [failed] = [each for each in sample["objects"] if each["is"] == "failed"]
    assert failed["key"].endswith("/malformed.json")
    assert "is not valid JSON" in failed["detail"]
    for each in sample["objects"]:
        assert f"{each['key']} {each['is']}" in first.err
    expected = [_row(json.loads(path.read_text())) for path in files if path.stem != "malformed"]
    assert sorted(rows(cloud)) == sorted(expected)
    assert (first.results / "lambda").is_dir()


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    lon, lat = (record.get(name) for name in ("reclong", "reclat"))
    place = tuple(float(each) if each else float("-inf") for each in (lon, lat))
    return (int(record["id"]), record["name"], record["recclass"], *place)


def rows(cloud: LocalCloud) -> list[tuple[Any, ...]]:
    """What is below post-stage/, read by pyarrow itself; unknown places are sortable."""
    s3, bucket = cloud.client("s3"), f"{PREFIX}-datalake-stage-123456789012-us-east-1"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="post-stage/engineering/meteorites/")
    tables = [
        parquet.read_table(BytesIO(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()))
        for each in listed["Contents"]
    ]
    return [
        (row["id"], row["name"], row["cls"],
         *(float("-inf") if row[at] is None else row[at] for at in ("lon", "lat")))
        for table in tables
        for row in table.to_pylist()
    ]  # fmt: skip


def test_the_packaged_stacks_are_where_deploy_looks_for_them(
    first: Run, own_home: Home, tmp_path: Path
) -> None:
    shutil.copytree(first.results / "cfn", tmp_path / "cfn")
    again = pipeline.run(tmp_path, "deploy", PIPELINE_HOME=str(own_home.root))
    assert again.code == 0, again.err
    assert stacks(again) == dict.fromkeys(STACKS, "unchanged")


def test_logs_are_kept(first: Run) -> None:
    logs = {path.name for path in (first.results / "logs").iterdir()}
    assert {f"{PREFIX}-common-layer-Build.log", f"{PREFIX}-app-Build.log",
            f"{PREFIX}-app-Record.log"} <= logs  # fmt: skip
    assert {f"{name}.log" for name in FUNCTIONS} <= logs
    told = (first.results / "logs" / f"{PREFIX}-app-Build.log").read_text()
    assert "[Container] Running command dagger run python ci/main.py app --target aws" in told
    assert "local-cloud-needs-no-secret" not in told


def test_a_zip_gives_what_a_clone_gives(first: Run, cloud: LocalCloud, tree: Path) -> None:
    """Same commit, same layer, from a checkout with git and modes: same images, same templates."""
    app = first.report["pipelines"][1]
    build = pipeline.run(
        first.results.parent / "of-clone", "app", "--source", str(tree), "--target", "aws",
        "--engine", "embedded", "--prefix", PREFIX, "--bucket", BUCKET,
        PIPELINE_HOME=str(cloud.home.root), AWS_ENDPOINT_URL=str(cloud.cloud.endpoint),
        **dict(cloud.cloud.credentials.variables()),
        PIPELINE_COMMIT=app["revisions"]["AppSource"], PIPELINE_BUILD_ID="of-clone",
        PIPELINE_LAYER_DIGEST=app["revisions"]["LayerImage"],
    )  # fmt: skip
    assert build.code == 0, build.err
    assert {name: about["digest"] for name, about in build.functions.items()} == {
        name: about["digest"] for name, about in first.functions.items()
    }
    assert all(
        app["revisions"]["AppSource"][:7] in about["tags"] for about in build.functions.values()
    )
    assert all(stack["uploaded"] == [] for stack in build.report["stacks"])
    s3 = cloud.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}-app/BuildOutpu/")["Contents"]
    newest = max(listed, key=lambda each: each["LastModified"])["Key"]
    body = s3.get_object(Bucket=BUCKET, Key=newest)["Body"].read()
    with ZipFile(BytesIO(body)) as artifact:
        assert sorted(artifact.namelist()) == sorted(
            str(path.relative_to(build.results))
            for path in (build.results / "cfn").rglob("*") if path.is_file()
        )  # fmt: skip
        for name in STACKS:
            packaged = f"cfn/{name}/packaged-template.yaml"
            assert artifact.read(packaged) == (build.results / packaged).read_bytes()


def test_a_change_of_one_function_reaches_exactly_that_function(
    first: Run, rehearse: Callable[..., Run], cloud: LocalCloud, tree: Path
) -> None:
    before = deployed(cloud)
    with (tree / "dockerfiles/stage-a-error/src/lambda_function.py").open("a") as source:
        source.write("# one line more\n")
    run = rehearse()
    assert run.code == 0, run.err
    assert statuses(run) == [(f"{PREFIX}-app", "succeeded")]
    assert changes(run) == {"stagea": ["rErrorFunction"]}
    assert "nothing to push" in run.err
    after = deployed(cloud)
    assert {name for name in after if after[name] != before[name]} == {"stage-a-error"}
    [stack] = [each for each in run.report["stacks"] if each["name"] == "stagea"]
    assert stack["change_set"][0]["image"] == {
        "before": before["stage-a-error"], "after": after["stage-a-error"],
    }  # fmt: skip
    assert "new image rErrorFunction" in run.err
    jsonschema.validate(run.report, SCHEMA)


def test_a_new_layer_rebuilds_all_functions_by_the_declared_rule(
    first: Run, rehearse: Callable[..., Run], cloud: LocalCloud, tree: Path,
    images: str,
) -> None:  # fmt: skip
    before = deployed(cloud)
    with (tree / "common_layer/python/datalake_library/__init__.py").open("a") as source:
        source.write("# one line more\n")
    run = rehearse()
    assert run.code == 0, run.err
    layer = registries.digest(images, LAYER, "latest")
    assert statuses(run) == [
        (f"{PREFIX}-common-layer", "succeeded"),
        (f"{PREFIX}-app", "succeeded"),
    ]
    assert run.report["pipelines"][1]["trigger"].startswith(f"push of {LAYER}:latest ({layer[:19]}")
    after = deployed(cloud)
    assert all(after[name] != before[name] for name in FUNCTIONS)
    for name in FUNCTIONS:
        assert f"{LAYER}:latest = {layer}" in run.log(name)


def test_nothing_changed_is_released_by_hand_and_ends_without_changes(
    first: Run, rehearse: Callable[..., Run]
) -> None:
    run = rehearse(GITHUB_ACTIONS="true")
    assert run.code == 0, run.err
    assert [each["trigger"] for each in run.report["pipelines"]] == [
        "released by hand: nothing was pushed"
    ] * 2
    assert set(stacks(run).values()) == {"unchanged"}
    assert changes(run) == {}
    # A CI system's folds: each build with its whole log.
    folds = re.findall(r"^::group::✓ (\w+ / \w+): ", run.err, re.MULTILINE)
    assert folds == ["Build / Build", "Build / Build", "Record / Record"]
    assert run.err.count("::endgroup::") == 3


def test_a_failing_function_fails_the_build_and_deploys_nothing(
    first: Run, rehearse: Callable[..., Run], cloud: LocalCloud, tree: Path
) -> None:
    before = deployed(cloud)
    dockerfile = tree / "dockerfiles/redrive-lambda/Dockerfile"
    good = dockerfile.read_text()
    dockerfile.write_text(good.replace("CMD", "RUN echo it went wrong && false\nCMD"))
    run = rehearse()
    dockerfile.write_text(good)
    assert run.code == 1
    assert (
        f"pipeline {PREFIX}-app, stage Build, action Build: build {PREFIX}-app: failed in BUILD"
        in (run.err)
    )
    assert "it went wrong" in run.err
    assert f"{PREFIX}-app-Build.log" in run.err
    assert f'told to {PREFIX}-pipeline-notifications: "Pipeline {PREFIX}-app failed' in run.err
    assert run.functions["redrive-lambda"]["status"] == "failed"
    assert "it went wrong" in run.log("redrive-lambda")
    assert deployed(cloud) == before
    jsonschema.validate(run.report, SCHEMA)
    assert run.report["error"]["message"].startswith(f"pipeline {PREFIX}-app, stage Build")


def test_a_bad_declaration_is_told_before_anything_is_built(
    first: Run, rehearse: Callable[..., Run], tree: Path
) -> None:
    declaration = tree / "codepipeline/codepipeline.yaml"
    good = declaration.read_text()
    declaration.write_text(
        good.replace(
            "InputArtifacts: [{Name: BuildOutput}]", "InputArtifacts: [{Name: BuildOutptu}]", 1
        )
    )
    run = rehearse()
    declaration.write_text(good)
    assert run.code == 1
    assert (
        f"pipeline {PREFIX}-app, stage Common, action ChangeSet: takes the artifact BuildOutptu"
        in (run.err)
    )
    assert "did you mean BuildOutput?" in run.err
    assert run.report["pipelines"] == []


def test_ctrl_c_ends_the_build_and_leaves_nothing_running(
    first: Run, own_home: Home, tree: Path, tmp_path: Path
) -> None:
    dockerfile = tree / "dockerfiles/routing-lambda/Dockerfile"
    good = dockerfile.read_text()
    dockerfile.write_text(good.replace("CMD", "RUN sleep 77.125\nCMD"))
    mark = {"PIPELINE_HOME": str(own_home.root)}
    before = pipeline.processes_with(mark)
    options = ["--source", str(tree), "--prefix", PREFIX, "--engine", "embedded"]
    process = pipeline.begin(tmp_path / "out", "rehearse", *options, **mark)
    while not pipeline.running("sleep 77.125"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    dockerfile.write_text(good)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 6
    assert not pipeline.running("sleep 77.125")
    assert pipeline.processes_with(mark) == before
    report = json.loads((tmp_path / "out/report.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert report["outcome"] == "interrupted"
    [execution] = report["pipelines"]
    assert execution["status"] == "interrupted"
    assert execution["stages"][-1]["actions"][-1]["status"] == "interrupted"
