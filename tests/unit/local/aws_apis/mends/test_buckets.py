"""S3: a policy that forbids plain HTTP forbids nothing here, any other does what it says."""

from __future__ import annotations

from typing import Any

import pytest
from kit.local_cloud import LocalCloud, deploy


def template(name: str, **statement: Any) -> dict[str, Any]:
    made = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/*", **statement}  # fmt: skip
    policy = {"Bucket": {"Ref": "rBucket"}, "PolicyDocument": {"Statement": [made]}}
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    return {
        "Resources": {
            "rBucket": bucket,
            "rPolicy": {"Type": "AWS::S3::BucketPolicy", "Properties": policy},
        }
    }


@pytest.mark.parametrize("value", ["false", False])
def test_encrypted_connections_only(cloud: LocalCloud, value: Any) -> None:
    name = f"tls-{type(value).__name__}"
    condition = {"Bool": {"aws:SecureTransport": value}}
    deploy(cloud, name, template(name, Condition=condition))
    s3 = cloud.client("s3")
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_another_denial_denies(cloud: LocalCloud) -> None:
    deploy(cloud, "denied", template("denied"))
    s3 = cloud.client("s3")
    s3.put_object(Bucket="denied", Key="k", Body=b"x")
    with pytest.raises(s3.exceptions.ClientError, match="403"):
        s3.get_object(Bucket="denied", Key="k")
