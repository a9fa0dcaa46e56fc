"""The resource types that the local cloud makes, each by the public API of its service."""

from __future__ import annotations

from collections.abc import Mapping

from ci.local.aws_apis.cloudformation.resources import (
    cloudwatch,
    code,
    dynamodb,
    ecr,
    events,
    function_parts,
    functions,
    glue,
    iam,
    kms,
    logs,
    nested,
    s3,
    sns,
    sqs,
    ssm,
    states,
)
from ci.local.aws_apis.cloudformation.resources.kind import Kind

_MODULES = (
    cloudwatch, code, dynamodb, ecr, events, function_parts, functions, glue, iam, kms, logs,
    nested, s3, sns, sqs, ssm, states,
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.type: kind for module in _MODULES for kind in module.KINDS}
"""Type name → how it is made."""
