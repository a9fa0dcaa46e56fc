"""What ``layer``, ``app`` and ``rehearse`` do, stage by stage, and the report of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import IO

import anyio.to_thread

from ci import aws, cloud
from ci.building import fleet
from ci.building.engine_errors import explained
from ci.building.outcome import Outcome
from ci.building.run import Audience, Run, opened
from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.home import Home
from ci.package import run as packaging
from ci.package import tools_container
from ci.package.outcome import PackagedStack
from ci.package.pinning import Images
from ci.planning.plan import Image, Plan
from ci.registry.reference import parse, parse_repository
from ci.report import Report
from ci.values import tell_seconds


class Story:
    """One run. Its report can be made at any time, after an error or an interruption too."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._run: Run | None = None
        self._layer_failed = False
        self._stacks: list[PackagedStack] = []

    async def tell(
        self, home: Home, environ: Mapping[str, str], audience: Audience, progress: IO[str] | None
    ) -> None:
        """Builds the layer, then the functions, then packages the stacks, as far as the plan has
        them."""
        import dagger

        try:
            await self._tell(home, environ, audience, progress)
        except* dagger.DaggerError as group:
            raise explained(group.exceptions[0], "engine") from group

    async def _tell(
        self, home: Home, environ: Mapping[str, str], audience: Audience, progress: IO[str] | None
    ) -> None:
        plan = self.plan
        goal = await anyio.to_thread.run_sync(cloud.reached, plan.settings) if plan.stacks else None
        if plan.stacks:
            packaging.discard(plan.settings.report)
        async with opened(plan, home, environ, audience, progress) as run:
            self._run = run
            if plan.layer:
                await self._resolve(run, [plan.layer])
                [outcome] = await fleet.build([plan.layer], run)
                self._layer_failed = not outcome.ok
                latest = replace(parse_repository(plan.layer_repository), tag="latest")
                run.bases.digests[latest] = outcome.digest
            if plan.functions and not self._layer_failed:
                await self._resolve(run, plan.functions)
                outcomes = await fleet.build(plan.functions, run)
                if goal and all(outcome.ok for outcome in outcomes):
                    await self._package(run, outcomes, goal, environ)

    async def _resolve(self, run: Run, images: Sequence[Image]) -> None:
        """What could not be asked before the session: a stand-in, the layer of this run."""
        await run.bases.resolve(pull.reference for image in images for pull in image.pulls)
        if not run.done:
            run.bases.require(images)

    async def _package(
        self,
        run: Run,
        outcomes: Sequence[Outcome],
        goal: Cloud,
        environ: Mapping[str, str],
    ) -> None:
        """The stacks, with the images of this run in them."""
        plan, settings = self.plan, self.plan.settings
        goal = await anyio.to_thread.run_sync(cloud.renewed, goal)
        base = parse(tools_container.BASE)
        await run.bases.resolve([base])
        images = Images(
            {each.name: parse_repository(each.repository).at(each.digest) for each in outcomes},
            plan.build.tags, plan.registry, aws.ecr_host(goal.account, goal.region),
        )  # fmt: skip
        self._stacks = await packaging.package(
            plan.stacks, images, goal, run.registries, settings.report,
            tag=plan.build.deployment_tag.value, by_digest=settings.pin == "digest",
            ca_bundle=settings.ca_bundle, base=str(base.at(run.bases.digests.get(base, ""))),
            index=environ.get("PIP_INDEX_URL"),
        )  # fmt: skip
        for stack in self._stacks:
            mark, ended = ("✗", "failed") if stack.error else ("✓", "packaged")
            news = f"{len(stack.uploaded)} uploaded" if stack.uploaded else "nothing new to upload"
            told = f"{ended}, {tell_seconds(stack.seconds)}, {news}"
            run.audience.say(f"{mark} stack {stack.name} {told}")
            for note in stack.notes:
                run.audience.say(f"  note: {note}")

    def report(
        self,
        started: datetime,
        seconds: float,
        error: PipelineError | None,
        *,
        interrupted: bool,
    ) -> Report:
        """What has come of the run so far."""
        plan, run = self.plan, self._run
        why = (
            "interrupted" if interrupted
            else "the layer failed" if self._layer_failed
            else "the run failed before it"
        )  # fmt: skip
        functions = self._outcomes(plan.functions, why)
        layer = self._outcomes([plan.layer], why)[0] if plan.layer else None
        good = all(outcome.ok for outcome in (*functions, *([layer] if layer else [])))
        good = good and not any(stack.error for stack in self._stacks)
        settings = plan.settings
        return Report(
            command=settings.command,
            target=settings.target,
            started=started,
            seconds=seconds,
            outcome="interrupted"
            if interrupted
            else "succeeded"
            if good and not error
            else "failed",
            engine=_engine(run) if run else None,
            deployment_tag=plan.build.deployment_tag.value,
            layer=layer,
            functions=functions,
            bases={str(base): digest for base, digest in run.bases.digests.items()} if run else {},
            stand_ins=run.stand_ins if run else (),
            stacks=self._stacks,
            error=error,
        )

    def _outcomes(self, images: Sequence[Image], why: str) -> list[Outcome]:
        done = self._run.done if self._run else {}
        return [
            done.get(image.name) or Outcome(image.name, image.repository, "skipped", why)
            for image in images
        ]


def _engine(run: Run) -> dict[str, str]:
    session = run.session
    return {"kind": session.kind, "version": session.version, "how": session.how}
