"""Where stacks go: an AWS account, or the local cloud that stands in for one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ci import aws
from ci.aws import Credentials
from ci.errors import InputError, PipelineError
from ci.settings import Settings

# moto takes any. A secret is starred out of every log: no word that a log may hold.
_LOCAL_CREDENTIALS = Credentials("AKIALOCALCLOUD000000", "local-cloud-needs-no-secret")

_PARTITIONS = {"cn": ("aws-cn", "amazonaws.com.cn"), "us-gov": ("aws-us-gov", "amazonaws.com")}


@dataclass(frozen=True)
class Cloud:
    """An account in a region, and the bucket that takes the artifacts.

    ``port`` is that of the local cloud's APIs on 127.0.0.1; None is AWS itself.
    """

    account: str
    region: str
    bucket: str
    credentials: Credentials
    port: int | None = None

    @property
    def endpoint(self) -> str | None:
        """The URL of the local cloud's APIs; None is AWS itself."""
        # CloudFormation's template URLs are known by their host name: moto wants "localhost".
        return None if self.port is None else f"http://localhost:{self.port}"

    def client(self, service: str) -> Any:
        """A boto3 client of a service; its calls belong into ``aws.explained``.

        On AWS it finds the credentials itself, and renews them when they lapse.
        """
        own = None if self.port is None else self.credentials
        return aws.client(service, self.region, self.endpoint, own)

    def pseudo_parameters(self, stack: str) -> dict[str, str]:
        """What templates see of it. Source: CloudFormation's pseudo parameters reference."""
        prefix = next((each for each in _PARTITIONS if self.region.startswith(f"{each}-")), "")
        partition, suffix = _PARTITIONS.get(prefix, ("aws", "amazonaws.com"))
        return {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::Partition": partition,
            "AWS::URLSuffix": suffix,
            "AWS::StackName": stack,
        }


def reached(settings: Settings) -> Cloud:
    """The cloud of a run, once its credentials and its bucket are known to be good.

    Raises InputError where they are not, PipelineError where nobody answers.
    """
    found = entered(settings)
    local = None if found.port is None else found.credentials
    aws.require_bucket(settings.bucket, settings.region, found.endpoint, local)
    return replace(found, bucket=settings.bucket)


def entered(settings: Settings) -> Cloud:
    """The same for a run that needs no bucket: it has none."""
    port = urlsplit(settings.endpoint).port if settings.on_this_machine else None
    if settings.target == "aws":
        here = settings.endpoint if port is not None else None
        account, credentials = aws.account(settings.region, here), aws.credentials()
    else:
        from ci.local.functions import ACCOUNT

        account, credentials = ACCOUNT, _LOCAL_CREDENTIALS
    return Cloud(account, settings.region, "", credentials, port)


def renewed(cloud: Cloud) -> Cloud:
    """The same with the credentials of this moment: a role's last an hour, a build may be longer.

    Raises PipelineError where there are none any more.
    """
    if cloud.port is not None:
        return cloud
    try:
        return replace(cloud, credentials=aws.credentials())
    except InputError as error:
        raise PipelineError(error.where, error.what, error.fix) from error
