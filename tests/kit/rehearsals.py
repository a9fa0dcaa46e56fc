"""Pipelines performed for tests: deployed into a local cloud, pushed to, watched."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ci.deploy.desk import Desk
from ci.local.codepipeline import deployed, emitted
from ci.local.codepipeline.execution import Execution, Trigger
from ci.local.codepipeline.repositories import Git, Repositories
from ci.local.codepipeline.service import Service
from ci.local.codepipeline.world import Images, Numbers, World
from ci.registry.client import connect
from ci.rehearsal import developer
from kit import local_cloud, pipelines
from kit.local_cloud import LocalCloud

T = TypeVar("T")

# Of each local cloud: they cost most of a test's time.
_CLIENTS: dict[int | None, dict[str, Any]] = {}


@dataclass
class Heard:
    """Everything that an audience was told."""

    said: list[str] = field(default_factory=list)
    actions: list[tuple[str, str, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def began(self, place: str, text: str) -> None:
        self.said.append(f"{place} began: {text}")

    def news(self, place: str, text: str) -> None:
        self.said.append(f"{place}: {text}")

    def ended(self, place: str, status: str, text: str, seconds: float, log: Path | None) -> None:
        self.actions.append((place, status, text))


class Rehearsed:
    """One declared pipeline, deployed under a name of its own."""

    def __init__(self, cloud: LocalCloud, registry: str, directory: Path, name: str) -> None:
        self.cloud, self.registry, self.directory, self.name = cloud, registry, directory, name
        self.heard = Heard()
        self.latest: dict[str, str] = {}

    def declare(self, stages: Mapping[str, list[dict[str, Any]]], **more: Any) -> None:
        """Deploys, or updates, the infrastructure stack."""
        template = pipelines.infrastructure(stages, self.name, **more)
        stack = f"{self.name}-infrastructure"
        made = local_cloud.deploy(self.cloud, stack, template)
        assert made["StackStatus"].endswith("_COMPLETE"), local_cloud.events(self.cloud, stack)
        assert "ROLLBACK" not in made["StackStatus"], local_cloud.events(self.cloud, stack)

    def perform(self, scenario: Callable[[Service, World], Awaitable[T]]) -> T:
        """Runs a scenario with the deployed pipeline's service and world."""

        async def main() -> T:
            cloud = self.cloud.cloud
            stack = f"{self.name}-infrastructure"
            resources = deployed.resources(cloud, stack)
            there = deployed.read(resources, stack, cloud.account, cloud.region)
            room = self.directory / "room"
            room.mkdir(exist_ok=True)
            async with connect(say=self.heard.say) as registries:
                desk = Desk(cloud, self.heard.say, 60)
                desk._clients = _CLIENTS.setdefault(cloud.port, {})
                world = World(
                    desk=desk,
                    images=Images(registries, self.registry),
                    account_registry=f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com",
                    repositories=Repositories(self.directory / "git", Git(os.environ["PATH"])),
                    identities=there.repositories,
                    image_repositories=there.images,
                    projects=there.projects,
                    numbers=Numbers(self.directory / "numbers.json", there.id),
                    host={"PATH": os.environ["PATH"]},
                    redirected={"REGISTRY": self.registry},
                    scratch=room,
                    results=self.directory / "out",
                    audience=self.heard,
                    latest=self.latest,
                )
                return await scenario(Service(there, world), world)

        return asyncio.run(main())

    def pushed(self, files: Mapping[str, str], code: str = "code") -> list[Execution]:
        """Pushes files, delivers the event, performs what it starts: the executions."""

        async def scenario(service: Service, world: World) -> list[Execution]:
            push(world, self, files, code)
            await service.deliver()
            return await settled(service)

        return self.perform(scenario)

    def released(self) -> list[Execution]:
        """The pipeline, released by hand."""

        async def scenario(service: Service, world: World) -> list[Execution]:
            service.start(self.name, Trigger("by hand", by_hand=True))
            return await settled(service)

        return self.perform(scenario)


async def settled(service: Service) -> list[Execution]:
    """Performs and delivers until nothing waits."""
    done = []
    while some := await service.perform():
        done += some
        await service.deliver()
    return done


def push(world: World, rehearsed: Rehearsed, files: Mapping[str, str], code: str = "code") -> str:
    """Pushes files to the repository and puts the event on its way; the commit."""
    name = f"{rehearsed.name}-{code}"
    tree = rehearsed.directory / "tree"
    for file, text in files.items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(text)
    made = developer.push(world.repository(name), "main", {each: tree / each for each in files})
    assert made
    arn = f"arn:aws:codecommit:{world.region}:{world.desk.cloud.account}:{name}"
    world.outbox.append(emitted.branch_push(world, name, arn, "main", made.commit, made.before))
    return made.commit
