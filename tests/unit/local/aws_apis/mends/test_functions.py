"""Lambda: images that are looked up where they are, functions that somebody else runs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from kit import function_host, registries
from kit.function_host import FunctionHost, failed
from kit.local_cloud import LocalCloud

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def host(cloud: LocalCloud) -> Iterator[FunctionHost]:
    with function_host.serving(cloud) as found:
        yield found


@pytest.fixture(scope="module")
def role(cloud: LocalCloud) -> str:
    policy = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                             "Principal": {"Service": "lambda.amazonaws.com"}}]}  # fmt: skip
    made = cloud.client("iam").create_role(
        RoleName="runs", AssumeRolePolicyDocument=json.dumps(policy)
    )
    return str(made["Role"]["Arn"])


def make(cloud: LocalCloud, name: str, uri: str, role: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("lambda").create_function(
        FunctionName=name, PackageType="Image", Role=role, Code={"ImageUri": uri}, **more
    )
    return found


def test_images_by_tag_and_by_digest(cloud: LocalCloud, registry: str, role: str) -> None:
    digest = registries.push_image(registry, "by/tag", "one", content="one")
    functions = cloud.client("lambda")
    make(cloud, "by-tag", f"{ECR}/by/tag:one", role)
    make(cloud, "by-digest", f"{ECR}/by/tag@{digest}", role)
    for name, uri in (("by-tag", f"{ECR}/by/tag:one"), ("by-digest", f"{ECR}/by/tag@{digest}")):
        found = functions.get_function(FunctionName=name)
        assert found["Code"]["ImageUri"] == uri
        assert found["Code"]["ResolvedImageUri"] == f"{ECR}/by/tag@{digest}"
        assert found["Configuration"]["CodeSha256"] == digest.removeprefix("sha256:")

    later = registries.push_image(registry, "by/tag", "two", content="two")
    functions.update_function_code(FunctionName="by-tag", ImageUri=f"{ECR}/by/tag:two")
    found = functions.get_function(FunctionName="by-tag")
    assert found["Code"]["ImageUri"] == f"{ECR}/by/tag:two"
    assert found["Code"]["ResolvedImageUri"] == f"{ECR}/by/tag@{later}"


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        (f"{ECR}/absent:one", "does not exist. Provide a valid source image."),
        (f"{ECR}/there:absent", "does not exist. Provide a valid source image."),
        (f"{ECR}/there@sha256:{'0' * 64}", "does not exist. Provide a valid source image."),
        (f"{ECR.replace('1', '2')}/there:one", "does not exist. Provide a valid source image."),
        ("public.ecr.aws/lambda/python:3.13", "does not exist. Provide a valid source image."),
        (f"{ECR}/there:one:two", "is not valid. Provide a valid source image."),
        (f"{ECR}/there:index", "is not supported."),
    ],
)
def test_images_that_lambda_refuses(
    cloud: LocalCloud, registry: str, role: str, uri: str, what: str
) -> None:
    digest = registries.push_image(registry, "there", "one")
    entry = {"mediaType": registries.MANIFEST, "digest": digest, "size": 1}
    index = {"schemaVersion": 2, "mediaType": registries.INDEX, "manifests": [entry]}
    registries.put_manifest(registry, "there", "index", index, registries.INDEX)
    functions = cloud.client("lambda")
    with pytest.raises(functions.exceptions.InvalidParameterValueException) as raised:
        make(cloud, "refused", uri, role)
    assert what in raised.value.response["Error"]["Message"]
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName="refused")


def test_an_update_to_an_image_that_is_not_there_changes_nothing(
    cloud: LocalCloud, registry: str, role: str
) -> None:
    registries.push_image(registry, "kept", "one")
    functions = cloud.client("lambda")
    make(cloud, "kept", f"{ECR}/kept:one", role)
    before = functions.get_function(FunctionName="kept")["Code"]
    with pytest.raises(functions.exceptions.InvalidParameterValueException):
        functions.update_function_code(FunctionName="kept", ImageUri=f"{ECR}/kept:two")
    assert functions.get_function(FunctionName="kept")["Code"] == before


def test_configuration_is_kept(cloud: LocalCloud, registry: str, role: str) -> None:
    registries.push_image(registry, "configured", "one")
    functions = cloud.client("lambda")
    made = make(
        cloud, "configured", f"{ECR}/configured:one", role,
        LoggingConfig={"LogGroup": "/own"}, Timeout=7, MemorySize=256,
        ImageConfig={"Command": ["a.b"]}, DeadLetterConfig={"TargetArn": "arn:aws:sqs:::q"},
    )  # fmt: skip
    assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/own"}
    assert made["DeadLetterConfig"] == {"TargetArn": "arn:aws:sqs:::q"}
    functions.update_function_configuration(
        FunctionName="configured", Timeout=9, ImageConfig={"Command": ["c.d"]},
        EphemeralStorage={"Size": 1024}, LoggingConfig={"LogGroup": "/other"},
    )  # fmt: skip
    found = functions.get_function_configuration(FunctionName="configured")
    assert (found["Timeout"], found["EphemeralStorage"]["Size"]) == (9, 1024)
    assert found["ImageConfigResponse"]["ImageConfig"]["Command"] == ["c.d"]
    assert found["LoggingConfig"]["LogGroup"] == "/other"
    assert found["RevisionId"] != made["RevisionId"]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", "x = 1")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def function(cloud: LocalCloud, role: str) -> str:
    """A function for invocations."""
    cloud.client("lambda").create_function(
        FunctionName="invoked", Runtime="python3.13", Handler="index.h", Role=role,
        Code={"ZipFile": zipped()},
    )  # fmt: skip
    return "invoked"


def test_an_invocation_reaches_the_host_and_its_answer_comes_back(
    cloud: LocalCloud, host: FunctionHost, function: str
) -> None:
    host.answers[function] = lambda event: (200, {"X-Amz-Log-Result": "bG9n"}, {"got": event})
    answer = cloud.client("lambda").invoke(
        FunctionName=function, Payload=b'{"a": 1}', LogType="Tail"
    )
    assert (answer["StatusCode"], json.loads(answer["Payload"].read())) == (200, {"got": {"a": 1}})
    assert "FunctionError" not in answer
    assert answer["LogResult"] == "bG9n"
    [invocation] = host.of(function)
    assert invocation.headers["x-amz-invocation-type"] == "RequestResponse"


def test_a_functions_error_is_told_as_one(
    cloud: LocalCloud, host: FunctionHost, function: str
) -> None:
    host.answers[function] = lambda event: failed("ValueError", "bad")
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"].read()) == {
        "errorType": "ValueError",
        "errorMessage": "bad",
    }


def test_an_asynchronous_invocation_is_accepted(
    cloud: LocalCloud, host: FunctionHost, function: str
) -> None:
    answer = cloud.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=b'{"a": 1}'
    )
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    [invocation] = host.of(function)
    assert invocation.headers["x-amz-invocation-type"] == "Event"
    assert invocation.payload == {"a": 1}


def test_a_dry_run_asks_nobody(cloud: LocalCloud, host: FunctionHost, function: str) -> None:
    answer = cloud.client("lambda").invoke(FunctionName=function, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert host.invocations == []


@pytest.mark.parametrize(
    ("status", "kind", "answered"),
    [
        (404, "ResourceNotFoundException", 404),
        (429, "TooManyRequestsException", 429),
        (500, "ServiceException", 500),
        (418, "ServiceException", 500),
    ],
)
def test_errors_of_the_service(
    cloud: LocalCloud, host: FunctionHost, function: str, status: int, kind: str, answered: int
) -> None:
    host.answers[function] = lambda event: (status, {}, {"message": "no room"})
    answer = invoked(cloud, function)
    assert answer.status_code == answered
    assert answer.headers["x-amzn-errortype"] == kind
    assert answer.json()["message"] == "no room"


def test_without_a_host_it_says_what_runs_functions(cloud: LocalCloud, function: str) -> None:
    answer = invoked(cloud, function)
    assert answer.status_code == 500
    assert answer.headers["x-amzn-errortype"] == "ServiceException"
    assert "no functions run" in answer.json()["message"]
    assert "ci/main.py rehearse" in answer.json()["message"]


def test_a_host_that_died_is_told(cloud: LocalCloud, function: str) -> None:
    place = f"{cloud.cloud.endpoint}/_local/function-host"
    dead = {"url": "http://127.0.0.1:9"}
    httpx.put(place, json=dead, trust_env=False)
    try:
        answer = invoked(cloud, function)
    finally:
        httpx.request("DELETE", place, json=dead, trust_env=False)
    assert answer.status_code == 500
    assert "the function host http://127.0.0.1:9 does not answer" in answer.json()["message"]


def invoked(cloud: LocalCloud, function: str) -> httpx.Response:
    """Without boto3, which would repeat what ends with 500."""
    scope = "AKIALOCALCLOUD000000/20260101/us-east-1/lambda/aws4_request"
    return httpx.post(
        f"{cloud.cloud.endpoint}/2015-03-31/functions/{function}/invocations",
        content=b"{}",
        headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host"},
        trust_env=False,
        timeout=30,
    )


def test_nothing_is_invoked_by_a_message_in_a_mapped_queue(
    cloud: LocalCloud, host: FunctionHost, function: str
) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="mapped")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:mapped"
    mapping = cloud.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=arn, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    sqs.send_message(QueueUrl=url, MessageBody="m")
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "m"
    assert host.invocations == []
