"""What ``layer``, ``app`` and ``rehearse`` do, stage by stage, and the report of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import IO

import anyio.to_thread

from ci import aws
from ci.building import fleet
from ci.building.engine_errors import explained
from ci.building.outcome import Outcome
from ci.building.run import Audience, Bench, opened
from ci.errors import PipelineError
from ci.home import Home
from ci.package import cloud, run, tools_container
from ci.package.cloud import Cloud
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
        self._bench: Bench | None = None
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
            run.discard(plan.settings.report)
        async with opened(plan, home, environ, audience, progress) as bench:
            self._bench = bench
            if plan.layer:
                await self._resolve(bench, [plan.layer])
                [outcome] = await fleet.build([plan.layer], bench)
                self._layer_failed = not outcome.ok
                latest = replace(parse_repository(plan.layer_repository), tag="latest")
                bench.bases.digests[latest] = outcome.digest
            if plan.functions and not self._layer_failed:
                await self._resolve(bench, plan.functions)
                outcomes = await fleet.build(plan.functions, bench)
                if goal and all(outcome.ok for outcome in outcomes):
                    await self._package(bench, outcomes, goal, environ)

    async def _resolve(self, bench: Bench, images: Sequence[Image]) -> None:
        """What could not be asked before the session: a stand-in, the layer of this run."""
        await bench.bases.resolve(pull.reference for image in images for pull in image.pulls)
        if not bench.done:
            bench.bases.require(images)

    async def _package(
        self,
        bench: Bench,
        outcomes: Sequence[Outcome],
        goal: Cloud,
        environ: Mapping[str, str],
    ) -> None:
        """The stacks, with the images of this run in them."""
        plan, settings = self.plan, self.plan.settings
        goal = await anyio.to_thread.run_sync(cloud.renewed, goal)
        base = parse(tools_container.BASE)
        await bench.bases.resolve([base])
        images = Images(
            {each.name: parse_repository(each.repository).at(each.digest) for each in outcomes},
            plan.build.tags, plan.registry, aws.ecr_host(goal.account, goal.region),
        )  # fmt: skip
        self._stacks = await run.package(
            plan.stacks, images, goal, bench.registries, settings.report,
            tag=plan.build.deployment_tag.value, by_digest=settings.pin == "digest",
            ca_bundle=settings.ca_bundle, base=str(base.at(bench.bases.digests.get(base, ""))),
            index=environ.get("PIP_INDEX_URL"),
        )  # fmt: skip
        for stack in self._stacks:
            mark, ended = ("✗", "failed") if stack.error else ("✓", "packaged")
            news = f"{len(stack.uploaded)} uploaded" if stack.uploaded else "nothing new to upload"
            told = f"{ended}, {tell_seconds(stack.seconds)}, {news}"
            bench.audience.say(f"{mark} stack {stack.name} {told}")
            for note in stack.notes:
                bench.audience.say(f"  note: {note}")

    def report(
        self,
        started: datetime,
        seconds: float,
        error: PipelineError | None,
        *,
        interrupted: bool,
    ) -> Report:
        """What has come of the run so far."""
        plan, bench = self.plan, self._bench
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
            engine=_engine(bench) if bench else None,
            deployment_tag=plan.build.deployment_tag.value,
            layer=layer,
            functions=functions,
            bases={str(base): digest for base, digest in bench.bases.digests.items()}
            if bench
            else {},
            stand_ins=bench.stand_ins if bench else (),
            stacks=self._stacks,
            error=error,
        )

    def _outcomes(self, images: Sequence[Image], why: str) -> list[Outcome]:
        done = self._bench.done if self._bench else {}
        return [
            done.get(image.name) or Outcome(image.name, image.repository, "skipped", why)
            for image in images
        ]


def _engine(bench: Bench) -> dict[str, str]:
    session = bench.session
    return {"kind": session.kind, "version": session.version, "how": session.how}
