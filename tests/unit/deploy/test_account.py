"""The way to an account: credentials of the environment, URLs of Amazon S3, the number asked for.

boto3 finds the local cloud by the process's environment; for the pipeline there is no endpoint, so
to it this is AWS.
"""

from __future__ import annotations

import pytest
from kit.deployments import Result, World

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}
ACCOUNT = "123456789012"


@pytest.fixture
def account(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{world.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-role")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "its-token")
    return world


def run(world: World, *argv: str) -> Result:
    whole = world.arguments(*argv, "--target", "aws")
    at = whole.index("--endpoint-url")
    return world.run_exactly([*whole[:at], *whole[at + 2 :]], {})


def test_a_deployment_and_its_end(account: World) -> None:
    digest = account.image("a", "1")
    account.stack("one", {"rA": account.function("a", digest)})
    done = run(account, "deploy")
    assert (done.code, done.statuses) == (0, {"one": "created"}), done.err
    assert done.report["target"] == "aws"
    assert account.runs("a") == digest
    assert account.tags("a") == {f"deployed-{account.prefix}": digest}

    unasked = run(account, "destroy")
    assert unasked.code == 2
    assert f"give it: destroy --yes {ACCOUNT}" in unasked.err
    assert "stack one goes, with 1 of its 1 resources" in unasked.err
    assert account.status("one") == "CREATE_COMPLETE"
    wrong = run(account, "destroy", "--yes", "999999999999")
    assert wrong.code == 2
    assert account.status("one") == "CREATE_COMPLETE"

    meant = run(account, "destroy", "--yes", ACCOUNT)
    assert (meant.code, meant.statuses["one"]) == (0, "deleted"), meant.err
    # The images of an account are its repositories' own: this registry is not theirs.
    assert account.tags("a") == {f"deployed-{account.prefix}": digest}


def test_nothing_to_destroy_asks_nobody(account: World) -> None:
    account.stack("one", {"rQueue": QUEUE})
    done = run(account, "destroy")
    assert (done.code, set(done.statuses.values())) == (0, {"absent"})


def test_the_environment_never_makes_it_an_account(account: World) -> None:
    """Only --target does; a bucket of the environment is an account's, so it is left alone."""
    account.stack("one", {"rQueue": QUEUE})
    whole = account.arguments("deploy")
    at, bucket = whole.index("--endpoint-url"), whole.index("--bucket")
    assert bucket > at
    argv = [*whole[:at], *whole[bucket + 2 :]]
    environ = {"S3_BUCKET": "somebodys", "CODEBUILD_BUILD_ID": "x:1"}
    done = account.run_exactly(argv, environ)
    assert done.code == 2
    assert "bucket: none is named" in done.err
