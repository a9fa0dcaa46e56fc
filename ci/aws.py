"""Everything that is asked of AWS. The only module that imports boto3, inside its functions:
the import costs a third of a second.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ci.credentials import Login
from ci.errors import InputError, PipelineError
from ci.reference import ecr_owner

_BATCH = 100
"""Names in one DescribeRepositories call. Source: Amazon ECR API."""


def account(region: str) -> str:
    """The account of the credentials at hand. Raises InputError without any."""
    with _explained("STS", "sts:GetCallerIdentity"):
        return str(_client("sts", region).get_caller_identity()["Account"])


def ecr_host(account_id: str, region: str) -> str:
    """The private registry of an account in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{account_id}.dkr.ecr.{region}.{suffix}"


def ecr_logins(hosts: Sequence[str]) -> list[Login]:
    """One login for each host that is an ECR registry; valid for 12 hours."""
    return [_ecr_login(host) for host in dict.fromkeys(hosts) if ecr_owner(host)]


def missing_repositories(host: str, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that the ECR registry ``host`` does not have, in order."""
    owner = ecr_owner(host)
    if not owner:
        return []
    client = _client("ecr", owner[1])
    with _explained("Amazon ECR", "ecr:DescribeRepositories"):
        return [
            name
            for start in range(0, len(names), _BATCH)
            for name in _absent(client, owner[0], list(names[start : start + _BATCH]))
        ]


def _absent(client: Any, registry: str, names: list[str]) -> list[str]:
    """ECR says only that *some* name of a call is absent: halve until it is clear which."""
    try:
        client.describe_repositories(registryId=registry, repositoryNames=names)
    except client.exceptions.RepositoryNotFoundException:
        if len(names) == 1:
            return names
        half = len(names) // 2
        return _absent(client, registry, names[:half]) + _absent(client, registry, names[half:])
    return []


def _ecr_login(host: str) -> Login:
    owner = ecr_owner(host)
    assert owner  # noqa: S101 - the caller chose by it
    with _explained("Amazon ECR", "ecr:GetAuthorizationToken"):
        data = _client("ecr", owner[1]).get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return Login(host, user, password)


def _client(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=region,
        retries={"mode": "standard", "max_attempts": 8},
        connect_timeout=10,
        read_timeout=30,
    )
    return boto3.client(service, config=config)


@contextmanager
def _explained(service: str, action: str) -> Iterator[None]:
    """botocore's errors as the user's."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        fix = "configure AWS credentials (aws configure, or AWS_ACCESS_KEY_ID …), or --target local"
        raise InputError("AWS credentials", "there are none", fix) from error
    except exceptions.ProfileNotFound as error:
        raise InputError("AWS_PROFILE", str(error), "name a profile that exists") from error
    except exceptions.ClientError as error:
        code = error.response["Error"].get("Code", "")
        said = error.response["Error"].get("Message", "")
        fix = f"see that the credentials are valid and allow {action}"
        raise PipelineError(service, f"{code}: {said}", fix) from error
    except exceptions.BotoCoreError as error:
        fix = "see that the region is right and that AWS can be reached from here"
        raise PipelineError(service, str(error), fix) from error
