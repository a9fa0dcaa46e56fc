"""All that a run needs before its first build: registry, logins, session, logs, base images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import anyio
import anyio.to_thread

from ci import aws
from ci.building import images
from ci.building.bases import Bases
from ci.building.logs import Logs, following
from ci.building.outcome import Outcome
from ci.building.session_reach import reaching_session
from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.engine.connection import connected
from ci.engine.session import Session
from ci.errors import InputError, InputErrors, PipelineError
from ci.home import Home
from ci.local import registry as local_registry
from ci.local import standin
from ci.package.tools_container import BASE as TOOLS_BASE
from ci.planning.plan import Plan
from ci.registry.client import Registries, connect
from ci.registry.credentials import Login, of_docker
from ci.registry.reference import Reference, ecr_owner, is_loopback, parse


class Audience(Protocol):
    """Who hears how the work goes."""

    def say(self, text: str) -> None:
        """A remark on the run."""

    def began(self, name: str) -> None:
        """Work on an image begins."""

    def remark(self, name: str, text: str) -> None:
        """A remark on one image."""

    def ended(self, outcome: Outcome) -> None:
        """An image is done."""


@dataclass
class Run:
    """What the images of a run share. ``began`` is on anyio's clock, ``stand_ins`` are the images
    that a stand-in serves."""

    plan: Plan
    session: Session
    registries: Registries
    bases: Bases
    logs: Logs
    audience: Audience
    began: float
    logins: Sequence[Login]
    stand_ins: Sequence[str]
    known_blobs: set[str] = field(default_factory=set)
    done: dict[str, Outcome] = field(default_factory=dict)


@asynccontextmanager
async def opened(
    plan: Plan,
    home: Home,
    environ: Mapping[str, str],
    audience: Audience,
    progress: IO[str] | None,
) -> AsyncIterator[Run]:
    """The run of ``plan``; what was started for it ends with the context.

    Raises InputError for what is wrong before anything is built, PipelineError for a registry or
    an engine that does not answer.
    """
    import dagger

    settings = plan.settings
    began = anyio.current_time()
    host = plan.registry.partition("/")[0]
    ours = await anyio.to_thread.run_sync(_account_logins, plan) if settings.target == "aws" else []
    stands_in = await needs_stand_in(plan, environ)
    mirrors = settings.mirrors
    if stands_in:
        mirrors = (*mirrors, (standin.UPSTREAM, stand_in_host(host, home, environ)))
    ca_bundle = str(settings.ca_bundle.absolute()) if settings.ca_bundle else None
    logins = of_docker(environ) | {login.host: login for login in ours}
    async with AsyncExitStack() as stack:
        registries = await stack.enter_async_context(
            connect(mirrors=mirrors, logins=logins, ca_bundle=ca_bundle, say=audience.say)
        )
        await registries.ping(host)
        bases = Bases(registries, plan.layer_repository, plan.given_bases)
        later = {str(base) for base in plan.bases if plan.layer and _is_layer(base, plan)}
        await bases.resolve(base for base in plan.bases if str(base) not in later.union(stands_in))
        bases.require(plan.images)
        _report_directory(settings.report)
        config = DaemonConfig(mirrors=mirrors, ca_bundle=ca_bundle)
        session = await stack.enter_async_context(
            reaching_session(
                settings.engine, home, environ, progress, config,
                pushes=host if settings.on_this_machine else "",
                mirror=mirrors[-1] if stands_in else None,
            )
        )  # fmt: skip
        audience.say(f"engine: {session.how}, Dagger API {session.version}")
        await stack.enter_async_context(connected())
        if ours:
            await images.synced(images.logged_in(dagger.dag.container(), ours))
        if stands_in:
            registry = local_registry.Registry(mirrors[-1][1])
            await standin.publish(home, registry, ca_bundle)
            audience.say(
                f"{standin.UPSTREAM} cannot be reached: a stand-in serves " + ", ".join(stands_in)
            )
        logs = await stack.enter_async_context(following(session, settings.report / "logs"))
        yield Run(plan, session, registries, bases, logs, audience, began, ours, stands_in)


def _is_layer(base: Reference, plan: Plan) -> bool:
    return base.repository == plan.layer_repository


def _account_logins(plan: Plan) -> list[Login]:
    """Logins to the ECR registries of the plan. Raises InputErrors for repositories that lack."""
    host = plan.registry.partition("/")[0]
    names = [image.repository.removeprefix(f"{host}/") for image in plan.images]
    if plan.settings.on_this_machine:
        # The local registry takes any name; the account that is played here has repositories.
        host = aws.ecr_host(aws.account(plan.settings.region), plan.settings.region)
    owner = ecr_owner(host)
    if owner and (missing := aws.missing_repositories(host, names)):
        fix = (
            "add an AWS::ECR::Repository of that name to codepipeline/codepipeline.yaml and "
            "update the infrastructure stack, or create it: "
            f"aws ecr create-repository --region {owner[1]} --repository-name "
        )
        raise InputErrors(
            [InputError(f"{host}/{name}", "no such ECR repository", fix + name) for name in missing]
        )
    if plan.settings.on_this_machine:
        return []
    return aws.ecr_logins([host, *(base.host for base in plan.bases)])


async def needs_stand_in(plan: Plan, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The images that a stand-in has to serve; none where the real ones are to be had."""
    if not plan.settings.on_this_machine:
        return ()
    pulled = [*plan.bases, *([parse(TOOLS_BASE)] if plan.stacks else [])]
    ours = tuple(dict.fromkeys(str(base) for base in pulled if base.host == standin.UPSTREAM))
    mirrored = any(host == standin.UPSTREAM for host, _ in plan.settings.mirrors)
    if not ours or mirrored or await standin.upstream_reachable(environ):
        return ()
    return ours


def stand_in_host(host: str, home: Home, environ: Mapping[str, str]) -> str:
    """The registry of the stand-in: always one of this machine."""
    return host if is_loopback(host) else local_registry.ensure(home, environ).host


def _report_directory(path: Path) -> None:
    """Makes the report's directories; logs of the run before go. Raises PipelineError."""
    try:
        (path / "logs").mkdir(parents=True, exist_ok=True)
        for old in (path / "logs").glob("*.log"):
            old.unlink()
    except OSError as error:
        fix = "make it writable, or name another with --report"
        raise PipelineError(str(path), f"cannot be used: {error.strerror}", fix) from error
