"""What the commands that change stacks need: the cloud, its infrastructure stack, the registry."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ci import aws, cloud
from ci.cloud import Cloud
from ci.deploy import desk, found
from ci.deploy.desk import Desk, in_thread
from ci.deploy.found import Found
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.package.pinning import Images
from ci.registry.client import Registries, connect
from ci.registry.credentials import of_docker
from ci.registry.reference import Reference, is_ecr
from ci.settings import Settings
from ci.values import is_local_url

_BUCKET = "oArtifactStore"
_ROLE = "oDeploymentRole"


@dataclass(frozen=True)
class Reach:
    """A cloud that answers. ``infrastructure`` is its stack of that kind, where it was asked for
    and can be seen; ``images`` says where images are that templates name."""

    settings: Settings
    desk: Desk
    infrastructure: Found | None
    images: Images
    registries: Registries

    @property
    def cloud(self) -> Cloud:
        return self.desk.cloud

    @property
    def role(self) -> str:
        """The role that CloudFormation takes on for the application's stacks; blank for none."""
        outputs = self.infrastructure.outputs if self.infrastructure else {}
        return self.settings.deployment_role or outputs.get(_ROLE, "")

    def place(self, image: Reference) -> Reference:
        """Where an image can be had that a template or a function names."""
        return self.images.place(image)


@asynccontextmanager
async def opened(
    settings: Settings,
    home: Home,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    takes_bucket: bool,
) -> AsyncIterator[Reach]:
    """The cloud that the settings mean. ``takes_bucket`` asks for the infrastructure stack, and for
    a bucket that takes templates: the one that is named, else that stack's.

    Raises InputError where something lacks that the user has to give, PipelineError where nobody
    answers.
    """
    settings = _with_endpoint(settings, home)
    entered = await in_thread(lambda: cloud.entered(settings))
    at = desk.at(entered, say, settings.timeout)
    infrastructure = await _infrastructure(at, settings) if takes_bucket else None
    if takes_bucket:
        chosen = replace(settings, bucket=_bucket(settings, infrastructure))
        at.cloud = await in_thread(lambda: cloud.reached(chosen))
    account_registry = aws.ecr_host(entered.account, settings.region)
    registry = settings.registry or _registry(settings, home, account_registry)
    ecr = [account_registry] if entered.port is None else []
    ecr += [registry] if is_ecr(registry) and entered.port is None else []
    logins = {login.host: login for login in await in_thread(lambda: aws.ecr_logins(ecr))}
    async with connect(
        logins=of_docker(environ) | logins,
        ca_bundle=str(settings.ca_bundle.absolute()) if settings.ca_bundle else None,
        say=say,
    ) as registries:
        images = Images({}, (), registry, account_registry)
        yield Reach(settings, at, infrastructure, images, registries)


def _with_endpoint(settings: Settings, home: Home) -> Settings:
    """The settings with the local cloud's address, where they mean the one that runs here."""
    if settings.target == "aws":
        if settings.on_this_machine:
            _require_answer(settings)
        return settings
    if settings.endpoint:
        if not is_local_url(settings.endpoint):
            origin = settings.origins["endpoint"]
            what = f"{settings.endpoint} is not on this machine; --target local stays on it"
            raise InputError(origin, what, "leave it out, or add --target aws for an account")
        _require_answer(settings)
        return settings
    from ci.local.aws_apis import daemon

    running = daemon.status(home)
    if not running:
        fix = "start it with what is to be tried (python ci/main.py), or add --target aws"
        raise InputError("local cloud", "does not run, so there is nothing to work on", fix)
    return replace(settings, endpoint=running.endpoint)


def _require_answer(settings: Settings) -> None:
    """boto3 would ask for a minute before it tells."""
    parts = urlsplit(settings.endpoint)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5).close()
    except OSError as error:
        origin = settings.origins["endpoint"]
        what = f"nobody answers at {settings.endpoint}: {error.strerror or error}"
        fix = "start the local cloud (python ci/main.py), or leave the address out"
        raise InputError(origin, what, fix) from error


def _bucket(settings: Settings, infrastructure: Found | None) -> str:
    known = infrastructure.outputs.get(_BUCKET, "") if infrastructure else ""
    # Where nobody named the local cloud, the environment's bucket may be an account's.
    origins = settings.origins
    meant = settings.target == "aws" or origins["endpoint"] != "default"
    if meant or origins["bucket"] == "--bucket":
        known = settings.bucket or known
    if known:
        return known
    what = f"none is named, and no stack {settings.infrastructure_stack} tells of one"
    fix = "set S3_BUCKET or --bucket, or deploy codepipeline/codepipeline.yaml first"
    raise InputError("bucket", what, fix)


def _registry(settings: Settings, home: Home, account_registry: str) -> str:
    if not settings.on_this_machine:
        return account_registry
    from ci.local import registry as local_registry

    running = local_registry.status(home)
    if not running:
        fix = "start it with the images (python ci/main.py app), or name one with --registry"
        raise InputError("local registry", "does not run, so no image can be had", fix)
    return running.host


async def _infrastructure(at: Desk, settings: Settings) -> Found | None:
    """The infrastructure stack; None where there is none, or where we may not look."""
    try:
        return await found.stack(at, settings.infrastructure_stack)
    except PipelineError as error:
        if isinstance(error, InputError | aws.Transient) or "AccessDenied" not in error.what:
            raise
        return None
