"""Stacks packaged by the AWS CLI in its container, into a bucket that really has the artifacts."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dagger import dag
from kit import registries, stacks
from kit.trees import write

from ci import cfn_yaml
from ci.aws import Credentials
from ci.cloud import Cloud
from ci.engine.session import Session
from ci.package import sam, tools_container
from ci.package.outcome import PackagedStack
from ci.package.pinning import Images
from ci.package.run import package
from ci.package.stacks import read
from ci.registry.client import Registries, connect
from ci.registry.reference import parse_repository

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

BUCKET = "artifacts"
TAG = "build-7"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def s3(moto_port: int) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def cloud(moto_port: int) -> Cloud:
    credentials = Credentials("AKIALOCALCLOUD", "local-secret-key")
    return Cloud(stacks.ACCOUNT, stacks.REGION, BUCKET, credentials, moto_port)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that the engine has no part in: its host."""
    with registries.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


def pushed(registry: str, *functions: str) -> Images:
    """The images of a run, in the registry under the tag of their build."""
    built = {}
    for name in functions:
        digest = registries.push_image(registry, f"dev-{name}", TAG, content=name)
        built[name] = parse_repository(f"{registry}/dev-{name}").at(digest)
    return Images(built, (TAG,), registry, stacks.ECR)


@pytest.fixture
def images(registry: str) -> Images:
    return pushed(registry, "routing", "heavy")


@pytest.fixture
async def known() -> AsyncIterator[Registries]:
    async with connect() as found:
        yield found


class Packager:
    """Packages one source tree again and again."""

    def __init__(self, session: Session, cloud: Cloud, images: Images, known: Registries) -> None:
        self.cloud, self.images, self.known = cloud, images, known

    async def __call__(self, tree: Path, out: Path, **options: Any) -> dict[str, PackagedStack]:
        options = {"tag": TAG, **options}
        found = await package(
            read(tree, "dev"), self.images, self.cloud, self.known, out, **options
        )
        return {stack.name: stack for stack in found}


@pytest.fixture
def packaged(
    session: Session, base_image: str, cloud: Cloud, images: Images, known: Registries
) -> Packager:
    return Packager(session, cloud, images, known)


def template(stack: PackagedStack) -> dict[str, Any]:
    assert stack.error is None, stack.error
    return cfn_yaml.load(stack.template.read_text())


def properties(document: dict[str, Any], name: str) -> dict[str, Any]:
    return document["Resources"][name]["Properties"]


def body(s3: Any, location: dict[str, str] | str) -> bytes:
    """What is at a location that a packaged template names."""
    if isinstance(location, str):
        bucket, _, key = location.removeprefix("s3://").partition("/")
        if location.startswith("http"):
            bucket, key = location.split("/", 4)[3:]
    else:
        bucket = location.get("S3Bucket") or location["Bucket"]
        key = location.get("S3Key") or location["Key"]
    assert bucket == BUCKET
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100755}
        return archive.namelist()


async def test_every_kind_of_artifact_is_in_the_bucket(packaged, s3, images, tmp_path):
    tree = stacks.room(tmp_path / "tree")
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    stack = (await packaged(tree, tmp_path / "out"))["plain"]
    document = template(stack)

    zipped = ["h.py", "lib/__init__.py"]
    assert names(body(s3, properties(document, "rZip")["Code"])) == zipped
    assert names(body(s3, properties(document, "rLibrary")["Content"])) == ["h.py"]
    definition = body(s3, properties(document, "rMachine")["DefinitionS3Location"])
    assert json.loads(definition) == stacks.DEFINITION
    script = body(s3, properties(document, "rJob")["Command"]["ScriptLocation"])
    assert script == b"print('a Glue job')\n"
    include = document["Outputs"]["Fn::Transform"]["Parameters"]["Location"]
    assert body(s3, include) == b"oName: {Value: x}\n"

    child = cfn_yaml.load(body(s3, properties(document, "rChild")["TemplateURL"]).decode())
    assert names(body(s3, properties(child, "rCode")["Code"])) == zipped
    routing, heavy = images.built["routing"].digest, images.built["heavy"].digest
    assert properties(document, "rRouting")["Code"]["ImageUri"] == (
        f"{stacks.ECR}/dev-routing@{routing}"
    )
    assert properties(child, "rHeavy")["Code"]["ImageUri"] == f"{stacks.ECR}/dev-heavy@{heavy}"

    there = {each["Key"]: each["Size"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert set(stack.uploaded) <= set(there)
    for key in there:
        assert (
            hashlib.md5(body(s3, f"s3://{BUCKET}/{key}"), usedforsecurity=False).hexdigest()
            == key.split(".")[0]
        )
    assert {path: path.read_bytes() for path in before} == before
    assert {path for path in tree.rglob("*") if path.is_file()} == before.keys()


async def test_the_artifact_holds_what_the_seeds_holds(packaged, s3, tmp_path):
    tree = stacks.room(tmp_path / "tree")
    write(tree / "cfn/stacks.yaml", "plain: plain-stack\n")
    write(tree / "cfn/plain/code/__pycache__/h.pyc", "")
    found = await packaged(tree, tmp_path / "out")
    assert set(found) == {"plain-stack", "sam"}
    out = tmp_path / "out/cfn"
    here = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    source = {
        str(path.relative_to(tree / "cfn"))
        for path in (tree / "cfn").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert here == source | {"plain/packaged-template.yaml", "sam/packaged-template.yaml"}
    assert (out / "plain/parameters.json").read_text() == (
        f'{{\n   "Parameters": {{"pPrefix":"dev","pEcrImageTag":"{TAG}"}},\n   "Tags": {{}}\n}}\n'
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cfn"]


async def test_the_same_tree_uploads_nothing_the_second_time(packaged, s3, tmp_path):
    """Nor does a tree of other times and modes, in files made in another order."""
    first = await packaged(stacks.room(tmp_path / "one"), tmp_path / "out1")
    assert sum(len(stack.uploaded) for stack in first.values()) >= 6
    other = tmp_path / "two"
    for path in sorted((tmp_path / "one").rglob("*"), reverse=True):
        if path.is_file():
            copy = write(other / path.relative_to(tmp_path / "one"), path.read_text())
            copy.chmod(0o600)
            os.utime(copy, (1, 1))
    second = await packaged(other, tmp_path / "out2")
    assert [stack.uploaded for stack in second.values()] == [(), ()]
    for name, stack in first.items():
        assert second[name].template.read_bytes() == stack.template.read_bytes()


async def test_what_somebody_deleted_from_the_bucket_is_uploaded_again(packaged, s3, tmp_path):
    tree = stacks.stack(tmp_path, ONE_MACHINE)
    write(tree / "cfn/one/machine.json", json.dumps(stacks.DEFINITION))
    [key] = (await packaged(tree, tmp_path / "out"))["one"].uploaded
    s3.delete_object(Bucket=BUCKET, Key=key)
    assert (await packaged(tree, tmp_path / "out"))["one"].uploaded == (key,)


async def test_sam(packaged, s3, images, tmp_path):
    """The code that the AWS CLI invents for an image is neither uploaded nor named."""
    stack = (await packaged(stacks.room(tmp_path / "tree"), tmp_path / "out"))["sam"]
    document = template(stack)
    assert "CodeUri" not in properties(document, "rRouting")
    assert "CodeUri" not in properties(document, "rInline")
    assert names(body(s3, properties(document, "rZip")["CodeUri"])) == ["h.py", "lib/__init__.py"]
    machine = properties(document, "rMachine")["DefinitionUri"]
    assert json.loads(body(s3, machine)) == stacks.DEFINITION
    assert len(stack.uploaded) <= 2
    digest = images.built["routing"].digest
    assert properties(document, "rRouting")["ImageUri"] == f"{stacks.ECR}/dev-routing@{digest}"

    values = json.loads(stack.parameters.read_text())["Parameters"]
    plain = sam.expanded(document, values, stacks.REGION, str(stack.template))
    kinds = {name: resource["Type"] for name, resource in plain["Resources"].items()}
    assert kinds["rRouting"] == "AWS::Lambda::Function"
    assert kinds["rMachine"] == "AWS::StepFunctions::StateMachine"
    assert properties(plain, "rRouting")["Code"] == {
        "ImageUri": f"{stacks.ECR}/dev-routing@{digest}"
    }


async def test_pin_tag_leaves_the_uris_as_the_seed_does(packaged, s3, tmp_path):
    tree = stacks.room(tmp_path / "tree")
    stack = (await packaged(tree, tmp_path / "out", by_digest=False))["plain"]
    source = cfn_yaml.load(stacks.PLAIN)
    assert properties(template(stack), "rRouting") == properties(source, "rRouting")
    values = json.loads(stack.parameters.read_text())["Parameters"]
    assert values == {"pPrefix": "dev", "pEcrImageTag": TAG}


async def test_one_stack_that_fails_leaves_no_artifact_but_ends_alone(packaged, s3, tmp_path):
    tree = stacks.room(tmp_path / "tree")
    template = stacks.CHILD.replace("-heavy:", "-nowhere:").replace("../code", "../plain/code")
    stacks.stack(tree, template, "broken", pPrefix="dev")
    found = await packaged(tree, tmp_path / "out")
    assert found["plain"].error is None
    error = str(found["broken"].error)
    assert "stack broken" in error
    assert f"{stacks.ECR}/dev-nowhere:{TAG}" in error
    assert found["broken"].error.exit_code == 1
    assert list((tmp_path / "out").iterdir()) == []


async def test_an_image_of_an_earlier_run_is_found_in_the_registry(
    packaged, s3, registry, tmp_path
):
    registries.push_image(registry, "dev-earlier", TAG)
    template = stacks.CHILD.replace("-heavy:", "-earlier:").replace("../code", "../one/code")
    tree = stacks.stack(tmp_path / "tree", template, pPrefix="dev")
    stacks.code(tree / "cfn/one")
    found = (await packaged(tree, tmp_path / "out"))["one"]
    assert found.error is None
    assert [(use.function, use.made) for use in found.images] == [("", False)]


async def test_a_bucket_that_is_gone_is_told_in_the_clis_words(packaged, s3, tmp_path):
    s3.delete_bucket(Bucket=BUCKET)
    found = await packaged(stacks.room(tmp_path / "tree"), tmp_path / "out")
    error = str(found["plain"].error)
    assert "S3 Bucket does not exist" in error
    assert "create the bucket, or name another in S3_BUCKET" in error


async def test_what_the_aws_cli_makes_of_a_plain_template(packaged, cloud, s3, tmp_path):
    """The AWS CLI as it is, on the tree as it is, as the seed's script runs it."""
    tree = stacks.room(tmp_path / "tree")
    ours = template((await packaged(tree, tmp_path / "out", by_digest=False))["plain"])
    command = ["aws", "cloudformation", "package", "--template-file", "template.yaml",
               "--s3-bucket", BUCKET, "--output-template-file", "theirs.yaml"]  # fmt: skip
    text = await (
        tools_container.inside(tools_container.container(), cloud)
        .with_directory("/tree", dag.host().directory(str(tree / "cfn/plain")))
        .with_workdir("/tree")
        .with_env_variable("CACHED", f"for the cloud on port {cloud.port} only")
        .with_exec(command)
        .file("theirs.yaml")
        .contents()
    )
    theirs = cfn_yaml.load(text)
    for zipped in (ours, theirs):
        # Its keys depend on the files' times: compared by content above.
        properties(zipped, "rZip")["Code"].pop("S3Key")
        properties(zipped, "rLibrary")["Content"].pop("S3Key")
        properties(zipped, "rChild").pop("TemplateURL")
    assert ours == theirs


async def test_the_sample_data_lake(packaged, s3, registry, tmp_path):
    """The project's own stacks: every function of theirs is pinned."""
    functions = sorted(path.parent.name for path in ROOT.glob("dockerfiles/*/Dockerfile"))
    packaged.images = pushed(registry, *functions)
    found = await packaged(ROOT, tmp_path / "out")
    assert [str(stack.error) for stack in found.values() if stack.error] == []
    pinned = {use.function for stack in found.values() for use in stack.images if use.made}
    assert pinned == set(functions)
    assert [note for stack in found.values() for note in stack.notes] == []
    for stack in found.values():
        assert TAG not in json.dumps(template(stack))


ONE_MACHINE = f"""\
Resources:
  rMachine:
    Type: AWS::StepFunctions::StateMachine
    Properties: {{RoleArn: "{stacks.ROLE}", DefinitionS3Location: machine.json}}
"""
