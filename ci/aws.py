"""Everything that is asked of AWS. The only module that imports boto3, inside its functions:
the import costs a third of a second.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ci.errors import InputError, PipelineError
from ci.registry.credentials import Login
from ci.registry.reference import ecr_owner, is_loopback

ATTEMPTS = 8
"""Of each call, where it fails in a way that passes: throttling, server errors, connections.
Source: boto3 guide, "Retries", standard mode."""
_BATCH = 100
"""Names in one DescribeRepositories call. Source: Amazon ECR API."""
_LAPSED = {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId",
           "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException"}  # fmt: skip
_THROTTLED = {"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded",
              "TooManyRequestsException", "RequestThrottled", "SlowDown"}  # fmt: skip
_SIGN_IN = "sign in again (aws sso login, aws configure), or use --target local"


class Transient(PipelineError):
    """Throttled, or without an answer, after all attempts: it may pass yet."""


@dataclass(frozen=True)
class Credentials:
    """Credentials as a program in a container takes them. Only the key shows in a repr."""

    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)

    def variables(self) -> Iterator[tuple[str, str]]:
        """Names and values of the environment variables that carry them."""
        yield "AWS_ACCESS_KEY_ID", self.key
        yield "AWS_SECRET_ACCESS_KEY", self.secret
        if self.token:
            yield "AWS_SESSION_TOKEN", self.token


def credentials() -> Credentials:
    """The credentials at hand, from wherever boto3 finds them. Raises InputError without any."""
    import boto3
    from botocore.exceptions import NoCredentialsError

    with explained("AWS credentials", "sts:GetCallerIdentity"):
        if not (found := boto3.Session().get_credentials()):
            raise NoCredentialsError
        frozen = found.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def require_bucket(
    name: str, region: str, endpoint: str | None = None, credentials: Credentials | None = None
) -> None:
    """Raises InputError unless the bucket is there, ours to use, and in ``region``, where
    CloudFormation and Lambda look for it. ``endpoint`` is the URL of another cloud than AWS,
    ``credentials`` those that it takes."""
    s3 = client("s3", region, endpoint, credentials)
    with explained("Amazon S3", "s3:ListBucket"):
        try:
            answer = s3.head_bucket(Bucket=name)
        except s3.exceptions.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                fix = f"create it (aws s3 mb s3://{name} --region {region}), or correct the name"
                raise InputError(f"bucket {name}", "is not there", fix) from error
            # HeadBucket tells no reason: STS does, if it is the credentials.
            if status in (400, 403):
                account(region)
                fix = "allow s3:ListBucket on it, or name a bucket of this account"
                raise InputError(f"bucket {name}", "does not let us in", fix) from error
            raise
    where = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if where != region:
        what = f"is in {where}; the stacks are in {region}, and Lambda takes code from there only"
        raise InputError(f"bucket {name}", what, "name a bucket of that region, or set --region")


def account(region: str, endpoint: str | None = None) -> str:
    """The account of the credentials at hand. Raises InputError without any."""
    with explained("STS", "sts:GetCallerIdentity"):
        return str(client("sts", region, endpoint).get_caller_identity()["Account"])


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
    ecr = client("ecr", owner[1])
    with explained("Amazon ECR", "ecr:DescribeRepositories"):
        return [
            name
            for start in range(0, len(names), _BATCH)
            for name in _absent(ecr, owner[0], list(names[start : start + _BATCH]))
        ]


def _absent(ecr: Any, registry: str, names: list[str]) -> list[str]:
    """ECR says only that *some* name of a call is absent: halve until it is clear which."""
    try:
        ecr.describe_repositories(registryId=registry, repositoryNames=names)
    except ecr.exceptions.RepositoryNotFoundException:
        if len(names) == 1:
            return names
        half = len(names) // 2
        return _absent(ecr, registry, names[:half]) + _absent(ecr, registry, names[half:])
    return []


def _ecr_login(host: str) -> Login:
    owner = ecr_owner(host)
    assert owner  # noqa: S101 - the caller chose by it
    with explained("Amazon ECR", "ecr:GetAuthorizationToken"):
        data = client("ecr", owner[1]).get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return Login(host, user, password)


def client(
    service: str,
    region: str,
    endpoint: str | None = None,
    credentials: Credentials | None = None,
) -> Any:
    """A boto3 client; its calls belong into ``explained``.

    ``endpoint`` is the URL of another cloud than AWS (boto3 itself reads ``AWS_ENDPOINT_URL``),
    ``credentials`` are those that it takes.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=region,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=10,
        read_timeout=30,
        # None: those of the environment. They lead away from this machine.
        proxies={} if endpoint and is_loopback(urlsplit(endpoint).netloc) else None,
    )
    # Not boto3's default session, which keeps the credentials that it met first.
    session = boto3.Session(
        aws_access_key_id=credentials and credentials.key,
        aws_secret_access_key=credentials and credentials.secret,
        aws_session_token=(credentials and credentials.token) or None,
    )
    return session.client(service, config=config, endpoint_url=endpoint)


def refusal(error: Exception) -> tuple[str, str, int] | None:
    """Code, message and HTTP status of an error of boto3's; status 0 for a call that was wrong
    before it was made. None for any other error."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        told = error.response["Error"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return told.get("Code", ""), told.get("Message", ""), status
    if isinstance(error, exceptions.ParamValidationError):
        return "ParamValidation", str(error), 0
    return None


@contextmanager
def explained(service: str, action: str) -> Iterator[None]:
    """botocore's errors as the user's: InputError for credentials, PipelineError for the rest.
    ``action`` is the IAM action that the call needs."""
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
        if code in _LAPSED:
            raise InputError("AWS credentials", f"{code}: {said}", _SIGN_IN) from error
        if code in _THROTTLED:
            what = f"{code}: {said} ({ATTEMPTS} attempts)"
            fix = "run again when less is asked of the account's APIs at the same time"
            raise Transient(service, what, fix) from error
        fix = f"see that the credentials are valid and allow {action}"
        raise PipelineError(service, f"{code}: {said}", fix) from error
    except (exceptions.SSOError, exceptions.TokenRetrievalError) as error:
        raise InputError("AWS credentials", str(error), _SIGN_IN) from error
    except exceptions.BotoCoreError as error:
        fix = "see that the region is right and that AWS can be reached from here"
        silent = isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError)
        raise (Transient if silent else PipelineError)(service, str(error), fix) from error
