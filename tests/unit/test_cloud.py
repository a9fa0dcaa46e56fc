"""The cloud of a run against moto; in a local run, nothing of an account is asked or used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
from moto import mock_aws

from ci.aws import Credentials
from ci.cloud import Cloud, entered, reached, renewed
from ci.errors import InputError, PipelineError
from ci.settings import Settings, parse


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="artifacts")
        yield


def settings(*argv: str, **environ: str) -> Settings:
    return parse(["app", *argv], environ)


@pytest.mark.usefixtures("account")
def test_an_account() -> None:
    found = reached(settings("--target", "aws", S3_BUCKET="artifacts"))
    assert (found.account, found.bucket, found.port) == ("123456789012", "artifacts", None)
    assert found.credentials.key == boto3.Session().get_credentials().access_key
    with pytest.raises(InputError, match="bucket nowhere: is not there"):
        reached(settings("--target", "aws", S3_BUCKET="nowhere"))


@pytest.mark.usefixtures("account")
def test_a_run_without_a_bucket() -> None:
    found = entered(settings("--target", "aws"))
    assert (found.account, found.bucket) == ("123456789012", "")


def test_a_roles_credentials_are_used_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Credentials("local-key", "s", "local-token")
    here = Cloud("1", "us-east-1", "", own, 5100).client("sts")
    assert here._request_signer._credentials.token == "local-token"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "role-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "role-token")
    there = Cloud("1", "us-east-1", "", own).client("sts")
    assert there._request_signer._credentials.token == "role-token"


@pytest.mark.usefixtures("account")
def test_the_credentials_of_a_long_run_are_those_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = reached(settings("--target", "aws", S3_BUCKET="artifacts"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "later")
    assert renewed(found).credentials.key == "later"
    local = replace(found, port=5001)
    assert renewed(local) is local


def test_credentials_that_are_gone_by_then_fail_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(PipelineError, match="AWS credentials: there are none") as raised:
        renewed(Cloud("1", "us-east-1", "artifacts", Credentials("k", "s")))
    assert raised.value.exit_code == 1
