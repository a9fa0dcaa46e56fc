"""AWS calls against moto. ECR there keeps repositories only, which is all that is asked here."""

from __future__ import annotations

import base64
from collections.abc import Iterator

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


def test_an_endpoint_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(PipelineError, match=r"(?s)STS: .*127.0.0.1:1.*can be reached"):
        aws.account("eu-west-1")
