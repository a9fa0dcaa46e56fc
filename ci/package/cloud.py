"""Where stacks go: an AWS account, or the local cloud that stands in for one."""

from __future__ import annotations

from dataclasses import dataclass

from ci.aws import Credentials

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
