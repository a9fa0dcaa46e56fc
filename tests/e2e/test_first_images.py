"""The layer and the functions: built, pushed, pulled and invoked as Lambda invokes them."""

import asyncio
import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow.parquet
import pytest
from dagger import BuildArg, ImageLayerCompression, dag
from kit.functions import running

from ci.local.lambdas.functions import Function

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

ROOT = Path(__file__).parents[2]
METEORITES = ROOT.parent / "shared" / "data" / "meteorites"
ALIAS = "aws.localhost"
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("dockerfiles/*/Dockerfile"))


@pytest.fixture(scope="module")
async def images(session, base_image, local_registry):
    """Reference, by digest, of each function's image in the local registry."""
    prefix = f"{local_registry.host}/e2e-"
    layer = f"{prefix}common-datalake-library"

    async def push(directory: Path, repository: str, *build_args: BuildArg) -> str:
        image = dag.host().directory(str(directory)).docker_build(build_args=list(build_args))
        return await image.publish(
            f"{repository}:latest", forced_compression=ImageLayerCompression.Gzip
        )

    await push(ROOT / "common_layer", layer)
    argument = BuildArg(name="ECR_COMMON_DATALAKE_REPO_URL", value=layer)
    pushed = await asyncio.gather(
        *(push(ROOT / "dockerfiles" / name, prefix + name, argument) for name in FUNCTIONS)
    )
    return dict(zip(FUNCTIONS, pushed, strict=True))


class Lake:
    """The AWS resources that the functions below use."""

    def __init__(self, port: int) -> None:
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        for bucket in ("central", "stage"):
            self.s3.create_bucket(Bucket=bucket)
        self.queue = self.sqs.create_queue(
            QueueName="stage-a.fifo", Attributes={"FifoQueue": "true"}
        )["QueueUrl"]
        boto3.client("ssm").put_parameter(
            Name="/DataLake/engineering/main/StageAQueueUrl",
            # As a container reaches it; its queue URL is in moto's own words.
            Value=self.queue.replace(f"127.0.0.1:{port}", f"{ALIAS}:{port}"),
            Type="String",
        )
        dynamodb = boto3.resource("dynamodb")
        for table, key in (("datasets", "name"), ("objects", "id"), ("history", "id")):
            dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        record = ROOT / "sample_data" / "octagon-Datasets" / "engineering-meteorites.json"
        dynamodb.Table("datasets").put_item(
            Item=json.loads(record.read_text(), parse_float=Decimal)
        )

    def function(self, name: str, image: str, port: int) -> Function:
        environ = {
            "AWS_ENDPOINT_URL": f"http://{ALIAS}:{port}",
            "DATASETS_TABLE": "datasets",
            "OBJECT_METADATA_TABLE": "objects",
            "EXECUTION_HISTORY_TABLE": "history",
            "STAGE_BUCKET": "stage",
        }
        return Function(
            name, image, environ=environ, services={ALIAS: port}, seconds=60, memory_mb=1024
        )

    def messages(self) -> list[dict]:
        items = []
        while found := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in found:
                items.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return items

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket="stage", Key=key)["Body"].read()


async def test_every_meteorite_goes_from_json_to_csv_to_parquet(images, moto_port):
    if not METEORITES.is_dir():
        pytest.skip(f"the meteorite files are not there: {METEORITES}")
    records = {path.name: json.loads(path.read_text()) for path in METEORITES.glob("*.json")}
    lake = Lake(moto_port)
    function = {name: lake.function(name, images[name], moto_port) for name in FUNCTIONS}
    for name in records:
        key = f"engineering/meteorites/{name}"
        lake.s3.upload_file(str(METEORITES / name), "central", key)
    created = [{"key": f"engineering/meteorites/{name}"} for name in records]
    event = {"Records": [{"s3": {"bucket": {"name": "central"}, "object": o}} for o in created]}
    async with running(function["routing-lambda"]) as routing:
        routed = await routing.invoke(event)
    assert (routed.ok, routed.json()) == (True, {"routed": len(records)})
    items = lake.messages()
    assert {item["key"] for item in items} == {f"engineering/meteorites/{n}" for n in records}

    keys = {}
    async with running(function["stage-a-process-object"]) as process:
        for result in await asyncio.gather(*(process.invoke(item) for item in items)):
            assert result.ok, result.payload
            done = result.json()
            keys[done["processed"]["key"]] = Path(done["key"]).name
    for key, name in keys.items():
        header, row = csv.reader(io.StringIO(lake.read(key).decode(), newline=""))
        record = records[name]
        assert header == ["id", "name", "recclass", "reclong", "reclat"]
        assert row == [record[column] for column in header]

    batch = {
        "execution": "e2e",
        "team": "engineering",
        "dataset": "meteorites",
        "bucket": "stage",
        "keys": sorted(keys),
    }
    async with running(function["stage-b-process-data"]) as heavy:
        result = await heavy.invoke(batch)
    assert result.ok, result.payload
    parquet = lake.read(result.json()["processed"]["key"])
    table = pyarrow.parquet.read_table(io.BytesIO(parquet))
    assert [f"{field.name} {field.type}" for field in table.schema] == [
        "id int64",
        "name string",
        "cls string",
        "lon double",
        "lat double",
    ]
    assert table.to_pylist() == [
        {
            "id": int(record["id"]),
            "name": record["name"],
            "cls": record["recclass"],
            "lon": float(record["reclong"]),
            "lat": float(record["reclat"]),
        }
        for record in (records[keys[key]] for key in sorted(keys))
    ]


async def test_a_file_that_is_no_json_is_named_in_the_error(images, moto_port):
    lake = Lake(moto_port)
    key = "engineering/meteorites/malformed.json"
    lake.s3.upload_file(str(ROOT / "sample_data/meteorites/malformed.json"), "central", key)
    item = {"bucket": "central", "key": key, "team": "engineering", "dataset": "meteorites"}
    name = "stage-a-process-object"
    async with running(lake.function(name, images[name], moto_port)) as process:
        result = await process.invoke({**item, "pipeline": "main"})
    assert result.error_type == "DataError"
    assert result.json()["errorMessage"].startswith(f"s3://central/{key}: is not valid JSON")


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_every_function_starts_in_its_image(images, name):
    async with running(Function(name, images[name], seconds=30, memory_mb=512)) as function:
        result = await function.invoke({})
    # The event is none of theirs: each may complain, but its own code has to be what complains.
    assert not (result.error_type or "").startswith("Runtime."), result.payload
