"""A deployed function, as its stack declares it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ci.cloud import Cloud
from ci.local.functions import ACCOUNT

AWS_ALIAS = "aws.localhost"
"""The host of AWS's APIs as containers see it: moto wants "localhost" in a template's URL."""
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?(?=/)")


@dataclass(frozen=True)
class Function:
    """How a function is configured; another configuration is another function to its environments.

    ``command``, ``entrypoint`` and ``workdir`` are None where the image's own count. ``services``
    maps aliases to ports of 127.0.0.1 on the host: the only way in which a function reaches the
    host. ``seconds`` is the time limit of an invocation. Defaults are Lambda's.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 3.0
    memory_mb: int = 128
    entrypoint: tuple[str, ...] | None = None
    workdir: str | None = None
    account: str = ACCOUNT
    region: str = "us-east-1"

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"


class NoSuchFunction(Exception):
    """Lambda's ResourceNotFoundException; the message is for the caller."""


class NotServed(Exception):
    """A kind of function that cannot run here; the message is for the caller."""


def plain_name(given: str) -> str:
    """The name in a function's name, partial ARN or ARN, without a version or alias.

    Source: Lambda API reference, Invoke, FunctionName.
    """
    parts = given.split(":")
    if "function" in parts:
        return parts[parts.index("function") + 1]
    return parts[0] if not parts[0].isdecimal() or len(parts) == 1 else parts[-1]


def deployed(cloud: Cloud, client: Any, name: str, registry: str) -> tuple[str, Function]:
    """The function of this name as the cloud has it now, its image in ``registry``, and the id
    of that revision.

    ``client`` is the cloud's Lambda client. Raises NoSuchFunction, NotServed.
    """
    try:
        answer = client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException as error:
        raise NoSuchFunction(f"Function not found: {name}") from error
    configuration, code = answer["Configuration"], answer["Code"]
    if configuration.get("PackageType", "Zip") != "Image":
        raise NotServed(f"{name} is a zip archive: only container images run locally")
    uri = code["ImageUri"]
    resolved = code.get("ResolvedImageUri", "")
    image_config = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {})
    variables = configuration.get("Environment", {}).get("Variables", {})
    function = Function(
        name=configuration["FunctionName"],
        image=_ECR.sub(registry, resolved if "@sha256:" in resolved else uri),
        command=_words(image_config.get("Command")),
        entrypoint=_words(image_config.get("EntryPoint")),
        workdir=image_config.get("WorkingDirectory") or None,
        environ={**_reach(cloud), **variables},
        services={} if cloud.port is None else {AWS_ALIAS: cloud.port},
        seconds=float(configuration.get("Timeout", 3)),
        memory_mb=int(configuration.get("MemorySize", 128)),
        account=cloud.account,
        region=cloud.region,
    )
    return configuration.get("RevisionId", ""), function


def _words(given: list[str] | None) -> tuple[str, ...] | None:
    return tuple(given) if given else None


def _reach(cloud: Cloud) -> dict[str, str]:
    """How a function reaches the cloud and is known to it."""
    endpoint = (
        {} if cloud.port is None else {"AWS_ENDPOINT_URL": f"http://{AWS_ALIAS}:{cloud.port}"}
    )
    return {**dict(cloud.credentials.variables()), **endpoint}
