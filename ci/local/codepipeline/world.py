"""What performed actions work with: the local cloud, its registry, its repositories, this host."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ci.daemons import replace_text
from ci.deploy.desk import Desk
from ci.local.codepipeline.builds import Project
from ci.local.codepipeline.repositories import Repositories, Repository
from ci.registry.client import Registries, RegistryError
from ci.registry.reference import Reference


class Audience(Protocol):
    """Who hears how a pipeline goes."""

    def say(self, text: str) -> None:
        """A remark."""

    def began(self, place: str, text: str) -> None:
        """Something takes its time: an action, by stage and name."""

    def news(self, place: str, text: str) -> None:
        """Something of an action at work that is worth knowing at once."""

    def ended(self, place: str, status: str, text: str, seconds: float, log: Path | None) -> None:
        """An action ended: succeeded or failed."""


@dataclass(frozen=True)
class Images:
    """ECR's images: they are in the local registry, under the names that the account's have."""

    registries: Registries
    host: str

    async def digest(self, repository: str, reference: str) -> str:
        """The digest of a tag or digest of a repository; blank where there is none."""
        place = Reference(self.host, repository)
        try:
            return (await self.registries.manifest(place, reference)).digest
        except RegistryError as error:
            if error.status != 404:
                raise
            return ""


@dataclass(frozen=True)
class Numbers:
    """How many builds each project has done, kept in ``file`` for one ``cloud`` only."""

    file: Path
    cloud: str

    def next(self, project: str) -> int:
        """The number of a project's next build: from 1, as CodeBuild counts."""
        try:
            known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            known = {}
        counted = known.get("builds", {}) if known.get("cloud") == self.cloud else {}
        number = int(counted.get(project, 0)) + 1
        self.file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(
            self.file, json.dumps({"cloud": self.cloud, "builds": {**counted, project: number}})
        )
        return number


@dataclass(frozen=True)
class World:
    """Everything beside the pipelines.

    ``identities`` are the ids of the cloud's repositories, by name; ``image_repositories`` are
    ECR's. ``host`` is what a build inherits, ``redirected`` what keeps it on this machine.
    ``scratch`` is where builds work, ``results`` the directory of the report, which gets their
    logs. ``outbox`` holds the events that nobody was told of yet, ``latest`` the digests of that
    tag, by repository, that are no news.
    """

    desk: Desk
    images: Images
    account_registry: str
    repositories: Repositories
    identities: Mapping[str, str]
    image_repositories: Sequence[str]
    projects: Mapping[str, Project]
    numbers: Numbers
    host: Mapping[str, str]
    redirected: Mapping[str, str]
    scratch: Path
    results: Path
    audience: Audience
    latest: dict[str, str] = field(default_factory=dict)
    outbox: deque[dict[str, Any]] = field(default_factory=deque)

    @property
    def region(self) -> str:
        return self.desk.cloud.region

    def repository(self, name: str) -> Repository:
        """A repository of the cloud; or of a connection, which lives as long as the cloud here."""
        return self.repositories.at(name, self.identities.get(name, self.numbers.cloud))
