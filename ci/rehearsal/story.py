"""Tells the story: everything that happens on AWS between a developer's push and running stacks.

Local cloud and engine; the infrastructure stack; two repositories, pushed to; the pipelines that
the pushes start, by the rules that the stack declares; the sample's data through what was deployed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from ci import aws
from ci.cloud import entered
from ci.deploy import found
from ci.deploy.desk import Desk, in_thread
from ci.deploy.outcome import StackOutcome
from ci.engine.connection import connected
from ci.errors import PipelineError, once_started
from ci.home import Home
from ci.local.aws_apis import daemon
from ci.local.codepipeline import build_actions, deployed, emitted
from ci.local.codepipeline.declaration import Action, Pipeline
from ci.local.codepipeline.deployed import Deployed
from ci.local.codepipeline.execution import Execution, Trigger
from ci.local.codepipeline.repositories import Git, Repositories
from ci.local.codepipeline.service import Service
from ci.local.codepipeline.world import Images, Numbers, World
from ci.planning.plan import Plan
from ci.registry.client import connect
from ci.rehearsal import contents, developer, engine, infrastructure, redirection
from ci.rehearsal.engine import Engine
from ci.rehearsal.infrastructure import Infrastructure
from ci.rehearsal.progress import Progress
from ci.sample import rehearsed
from ci.sample.rehearsed import Rehearsed
from ci.values import tell_seconds

_CODE = ("CodeCommit", "CodeStarSourceConnection")
SAMPLE = "sample_data"
BY_HAND = "released by hand: nothing was pushed"


class Story:
    """One rehearsal. What came of it can be asked at any time, after an interruption too."""

    def __init__(self, plan: Plan, stack: Infrastructure) -> None:
        self.plan, self.stack = plan, stack
        self.engine: Engine | None = None
        self.executions: list[Execution] = []
        self.infrastructure = StackOutcome(infrastructure.STACK, "skipped")
        self.sample: Rehearsed | None = None

    async def tell(
        self, home: Home, environ: Mapping[str, str], progress: Progress, detail: IO[str] | None
    ) -> None:
        """Tells it to its end. Raises PipelineError where it comes to a bad one."""
        settings = self.plan.settings
        host = self.plan.registry.partition("/")[0]
        async with (
            engine.ready(self.plan, home, environ, progress, detail) as self.engine,
            connect(say=progress.say) as registries,
        ):
            with once_started():
                local = await in_thread(lambda: daemon.ensure(home, environ, registry_host=host))
                progress.say(f"local cloud: AWS APIs on {local.endpoint}, images in {host}")
                cloud = entered(replace(settings, endpoint=local.endpoint))
                desk = Desk(cloud, progress.say, settings.timeout)
                there = await self._infrastructure(desk, progress)
                world = self._world(there, desk, Images(registries, host), home, environ, progress)
                # ECR's repositories of a new stack are empty: what the registry has of another
                # life is news once a build has pushed it.
                if self.infrastructure.status != "created":
                    world.latest.update(await build_actions.latest(world.images, there.images))
                service = Service(there, world)
                self.executions = service.executions
                await self._pipelines(there, service, world, environ)
                if (settings.source / SAMPLE).is_dir():
                    async with connected():
                        self.sample = await rehearsed.tell(
                            cloud, host, self.stack.prefix, settings, home, environ,
                            progress.say, progress.stream,
                        )  # fmt: skip

    def _world(
        self,
        there: Deployed,
        desk: Desk,
        images: Images,
        home: Home,
        environ: Mapping[str, str],
        progress: Progress,
    ) -> World:
        assert self.engine  # noqa: S101 - found before
        cloud, room = desk.cloud, home.local / "codebuild"
        room.mkdir(parents=True, exist_ok=True)
        settings = self.plan.settings
        origins = {**settings.origins, "mirrors": "the rehearsal's engine"}
        chosen = replace(settings, mirrors=self.engine.mirrors, origins=origins)
        programs = redirection.programs(
            room / "bin", embedded=self.engine.session.kind == "embedded"
        )
        return World(
            desk=desk,
            images=images,
            account_registry=aws.ecr_host(cloud.account, cloud.region),
            repositories=Repositories(
                home.local / "codecommit", Git(environ.get("PATH", os.defpath))
            ),
            identities=there.repositories,
            image_repositories=there.images,
            projects=there.projects,
            numbers=Numbers(room / "numbers.json", there.id),
            host=redirection.inherited(environ, programs),
            redirected=redirection.redirected(chosen, environ, home, cloud),
            scratch=room,
            results=settings.report,
            audience=progress,
        )

    async def _infrastructure(self, desk: Desk, progress: Progress) -> Deployed:
        self.infrastructure = await infrastructure.deploy(desk, self.stack)
        ended = self.infrastructure
        if ended.error:
            raise ended.error
        told = f"{ended.status}, {len(ended.changes)} changes, {tell_seconds(ended.seconds)}"
        progress.say(f"✓ stack {ended.name} {told}")
        cloud = desk.cloud
        resources = await in_thread(lambda: deployed.resources(cloud, ended.name))
        stack = await found.stack(desk, ended.name)
        return deployed.read(resources, stack.id if stack else "", cloud.account, cloud.region)

    async def _pipelines(
        self, there: Deployed, service: Service, world: World, environ: Mapping[str, str]
    ) -> None:
        """Pushes, and lets the declared rules start what they start."""
        settings = self.plan.settings
        layer, application = (
            self._pipeline(there, name)
            for name in ("oCommonLayerCodePipelineName", "oAppCodePipelineName")
        )
        files = await in_thread(lambda: contents.of_layer(settings, environ))
        pushed = await self._push(layer, files, service, world)
        await service.deliver()
        await _performed(service)
        # The application is pushed before the word of a new layer has gone round: two starts
        # wait for their turn then, as on AWS.
        files = await in_thread(lambda: contents.of_application(settings, environ))
        pushed = await self._push(application, files, service, world) or pushed
        await service.deliver()
        await _performed(service)
        if not pushed:
            for pipeline in (layer, application):
                service.start(pipeline.name, Trigger(BY_HAND, by_hand=True))
                await _performed(service)
                await service.deliver()
            await _performed(service)

    def _pipeline(self, there: Deployed, output: str) -> Pipeline:
        name = self.infrastructure.outputs.get(output, "")
        if name not in there.pipelines:
            what = f"has no output {output} that names a pipeline of it"
            fix = "declare it: it says which pipeline is whose"
            raise PipelineError(f"stack {infrastructure.STACK}", what, fix)
        return there.pipelines[name]

    async def _push(
        self, pipeline: Pipeline, files: Mapping[str, Path], service: Service, world: World
    ) -> bool:
        """Pushes to the repository that a pipeline builds; whether anything had changed."""
        source = _code(pipeline)
        given = source.configuration
        name = given.get("RepositoryName") or given["FullRepositoryId"]
        branch = given["BranchName"]
        repository = world.repository(name)
        push = await in_thread(lambda: developer.push(repository, branch, files))
        if push is None:
            world.audience.say(f"repository {name}: nothing to push, {branch} is as it was")
            return False
        changed = f"{len(push.changed)} file{'s' * (len(push.changed) != 1)}"
        world.audience.say(f"repository {name}: {push.commit[:7]} pushed to {branch}, {changed}")
        if source.provider == "CodeCommit":
            cloud = world.desk.cloud
            arn = f"arn:aws:codecommit:{cloud.region}:{cloud.account}:{name}"
            event = emitted.branch_push(world, name, arn, branch, push.commit, push.before)
            world.outbox.append(event)
        else:
            service.pushed(name, branch, push.commit)
        return True


async def _performed(service: Service) -> None:
    """Performs what waits. Raises PipelineError for an execution that failed."""
    for execution in await service.perform():
        if execution.status == "failed":
            first = execution.failures[0]
            raise PipelineError(first.where, first.what, first.fix)


def _code(pipeline: Pipeline) -> Action:
    for action in pipeline.sources:
        if action.provider in _CODE:
            return action
    what = f"has no source of {' or '.join(_CODE)}"
    raise PipelineError(
        f"pipeline {pipeline.name}", what, "declare one: it is where code is pushed"
    )
