"""AWS calls against moto. ECR there keeps repositories only, which is all that is asked here."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto import mock_aws

from ci import aws
from ci.errors import InputError, PipelineError

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.mark.usefixtures("cloud")
def test_the_account_is_that_of_the_credentials() -> None:
    assert aws.account("eu-west-1") == ACCOUNT


@pytest.mark.parametrize(
    ("region", "suffix"), [("us-east-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")]
)
def test_the_accounts_registry(region: str, suffix: str) -> None:
    assert aws.ecr_host("1", region) == f"1.dkr.ecr.{region}.{suffix}"


@pytest.mark.usefixtures("cloud")
def test_one_login_per_ecr_registry_and_none_for_others() -> None:
    logins = aws.ecr_logins([HOST, "public.ecr.aws", HOST, "127.0.0.1:5000"])
    assert [login.host for login in logins] == [HOST]
    assert logins[0].user == "AWS"
    client = boto3.client("ecr", region_name="eu-west-1")
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert f"AWS:{logins[0].password}" == base64.b64decode(token).decode()


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("missing", "there"), [([], 1), (["stg-b"], 3), (["stg-a", "stg-y", "stg-z"], 250)]
)
def test_missing_repositories_are_named_each(missing: list[str], there: int) -> None:
    client = boto3.client("ecr", region_name="eu-west-1")
    present = [f"stg-present-{number}" for number in range(there)]
    for name in present:
        client.create_repository(repositoryName=name)
    wanted = sorted(present + missing)
    assert aws.missing_repositories(HOST, wanted) == missing


def test_without_credentials_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(InputError, match=r"(?s)AWS credentials: there are none.*--target local"):
        aws.account("eu-west-1")
    with pytest.raises(InputError, match="AWS credentials: there are none"):
        aws.credentials()


def test_an_endpoint_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(PipelineError, match=r"(?s)STS: .*127.0.0.1:1.*can be reached"):
        aws.account("eu-west-1")


def test_credentials_for_a_container_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "at hand")
    assert dict(aws.credentials().variables())["AWS_SECRET_ACCESS_KEY"] == "at hand"
    shown = aws.Credentials("AKIA", "hidden-secret", "hidden-token")
    assert "hidden" not in repr(shown)
    assert [name for name, _ in shown.variables()][-1] == "AWS_SESSION_TOKEN"


@pytest.mark.usefixtures("cloud")
def test_a_bucket_has_to_be_there_and_in_the_region() -> None:
    here = boto3.client("s3", region_name="eu-west-1")
    here.create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    aws.require_bucket("artifacts", "eu-west-1")
    with pytest.raises(InputError, match=r"(?s)bucket artifact: is not there.*s3 mb s3://artifact"):
        aws.require_bucket("artifact", "eu-west-1")
    with pytest.raises(InputError, match="bucket artifacts: is in eu-west-1; the stacks are in us"):
        aws.require_bucket("artifacts", "us-east-1")


def test_throttling_that_does_not_end_is_told_as_such() -> None:
    from botocore.exceptions import ClientError, ParamValidationError

    refusal = {"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}
    says = r"(?s)Rate exceeded \(8 attempts\).*run again when"
    with pytest.raises(aws.Transient, match=says), aws.explained("CloudFormation", "any"):
        raise ClientError(refusal, "DescribeStacks")
    with pytest.raises(PipelineError) as raised, aws.explained("S3", "s3:GetObject"):
        raise ParamValidationError(report="no such parameter")
    assert not isinstance(raised.value, aws.Transient)


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """A server that refuses everything as AWS does; its URL. STS alone tells the reason."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            who = "<Arn>a</Arn><UserId>u</UserId><Account>1</Account>"
            refused = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error>"
            body = (
                f"<ErrorResponse>{refused}</ErrorResponse>" if code
                else "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                f"{who}</GetCallerIdentityResult></GetCallerIdentityResponse>"
            ).encode()  # fmt: skip
            self.send_response(403 if code else 200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "ExpiredToken", "(?s)AWS credentials: ExpiredToken: m.*sign in again"),
        (400, "ExpiredToken", "AWS credentials: ExpiredToken"),
        (403, "InvalidClientTokenId", "AWS credentials: InvalidClientTokenId"),
        (403, "", "(?s)bucket artifacts: does not let us in.*s3:ListBucket"),
    ],
)
def test_a_closed_door_is_told_apart_from_an_old_key(
    status: int, code: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with answering(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(InputError, match=says):
            aws.require_bucket("artifacts", "us-east-1")
