"""Builds and pushes many images at once: each ends with its own outcome, none cancels another."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio

from ci.building import images, publish
from ci.building.engine_errors import ImageError, explained, output_of
from ci.building.logs import Log
from ci.building.outcome import Bytes, Outcome, Phase
from ci.building.run import Run
from ci.errors import PipelineError
from ci.planning.plan import LAYER_NAME, Image
from ci.registry.client import Manifest, RegistryError
from ci.registry.reference import Reference, parse_repository
from ci.values import tell_seconds

HEAD_START = 1.0
"""Seconds that the first push has the engine to itself before the others build meanwhile."""

T = TypeVar("T")


@dataclass
class _FirstPush:
    """Blobs are mounted across repositories only once some repository holds them: images that
    build on the same ones wait until one of them is pushed. ``attempt`` is under way, if any."""

    over: bool = False
    attempt: anyio.Event | None = None


async def build(wanted: Sequence[Image], run: Run) -> list[Outcome]:
    """Builds, pushes and tags ``wanted``; ``latest`` moves when all of them are there.

    One outcome per image, in order. Never raises for an image that failed.
    """
    slots = anyio.CapacityLimiter(run.plan.settings.jobs)
    first: dict[frozenset[Reference], _FirstPush] = {}
    pushed: dict[str, tuple[Reference, Manifest]] = {}

    async def one(image: Image) -> None:
        kin = first.setdefault(frozenset(pull.reference for pull in image.pulls), _FirstPush())
        unit = _Unit(image, run, slots, kin)
        outcome, manifest = await unit.finish()
        if manifest:
            pushed[image.name] = (parse_repository(image.repository), manifest)
        run.done[image.name] = outcome
        run.audience.ended(outcome)

    async with anyio.create_task_group() as group:
        for image in wanted:
            group.start_soon(one, image)
    if len(pushed) == len(wanted):
        refused = await publish.tag_all(run.registries, pushed, "latest", slots)
        for name in pushed:
            run.done[name] = run.done[name].moved("latest", refused.get(name))
    return [run.done[image.name] for image in wanted]


class _Unit:
    """The work on one image."""

    def __init__(
        self, image: Image, run: Run, slots: anyio.CapacityLimiter, kin: _FirstPush
    ) -> None:
        self.image, self.run, self.slots, self.kin = image, run, slots, kin
        self.phases: list[Phase] = []
        self.left = run.plan.settings.timeout

    async def finish(self) -> tuple[Outcome, Manifest | None]:
        """The outcome, and the manifest when the image is in the registry under its tags."""
        image, run = self.image, self.run
        with run.logs.log(image.name) as log:
            log.write(f"{image.directory / image.dockerfile} → {image.repository}")
            for pull in image.pulls:
                log.write(
                    f"builds on {pull.reference} = {run.bases.digests.get(pull.reference, '?')}"
                )
            try:
                manifest, size = await self._work(log)
            except Exception as error:  # one image never takes the others along
                return await self._failed(error, log), None
            await run.logs.drain(log)
            tags = run.plan.build.tags[:-1]
            log.write(f"pushed {image.repository}@{manifest.digest}, tags {', '.join(tags)}")
            outcome = self._outcome("built", digest=manifest.digest, tags=tags, size=size)
            return outcome, manifest

    async def _work(self, log: Log) -> tuple[Manifest, Bytes]:
        image, run = self.image, self.run
        for pull in image.pulls:
            if fault := run.bases.faults.get(pull.reference):
                what = f"builds on {pull.reference}, which {fault.what}"
                where = f"{image.directory / image.dockerfile}:{pull.line}"
                raise ImageError(where, "BaseMissing", what, fault.fix)
        repository = parse_repository(image.repository)
        container = images.logged_in(images.built(image, run.bases.digests), run.logins)

        async def push() -> str:
            address = f"{image.repository}:{publish.PUSHED}"
            return await publish.push(
                lambda: images.pushed(container, address),
                publish.PUSHES,
                lambda text: self._remark(log, text),
            )

        digest = await self._in_turn(push, lambda: images.synced(container))
        with self._phase("check"):
            manifest = await publish.checked(
                run.registries, repository, digest,
                name=image.name, runs=image.name != LAYER_NAME,
            )  # fmt: skip
            size = await self._measured(repository, manifest)
        with self._phase("tag"):
            await publish.tag(run.registries, repository, manifest, run.plan.build.tags[:-1])
        return manifest, size

    async def _in_turn(
        self, push: Callable[[], Awaitable[str]], sync: Callable[[], Awaitable[None]]
    ) -> str:
        """Pushes, but not before a first image has brought the blobs that all of them share.

        Who waits longer than a moment builds meanwhile.
        """
        kin = self.kin
        while not kin.over:
            if kin.attempt:
                await self._wait_building(kin.attempt, sync)
                continue
            attempt = kin.attempt = anyio.Event()
            try:
                digest = await self._limited("build+push", push)
                kin.over = True
                return digest
            finally:
                kin.attempt = None
                attempt.set()
        return await self._limited("build+push", push)

    async def _wait_building(
        self, attempt: anyio.Event, sync: Callable[[], Awaitable[None]]
    ) -> None:
        with self._phase("wait"), anyio.move_on_after(HEAD_START):
            await attempt.wait()
        if attempt.is_set():
            return
        if not any(phase.name == "build" for phase in self.phases):
            await self._limited("build", sync)
        with self._phase("wait"):
            await attempt.wait()

    async def _limited(self, phase: str, work: Callable[[], Awaitable[T]]) -> T:
        """``work`` in one of the run's slots, within what is left of the image's time."""
        async with self.slots:
            if not any(phase.name != "wait" for phase in self.phases):
                self.run.audience.began(self.image.name)
            begun = anyio.current_time()
            with self._phase(phase), anyio.move_on_after(self.left) as scope:
                try:
                    return await work()
                finally:
                    self.left -= anyio.current_time() - begun
        assert scope.cancelled_caught  # noqa: S101 - the only way past the return
        allowed = tell_seconds(self.run.plan.settings.timeout)
        raise ImageError(
            self.image.name, "TimedOut", f"was not done after {allowed}",
            "see in its log where it hangs; --timeout allows more",
        )  # fmt: skip

    async def _measured(self, repository: Reference, manifest: Manifest) -> Bytes:
        """How many bytes of the image were there already, told from the manifests."""
        try:
            before = (await self.run.registries.manifest(repository, "latest")).document
        except RegistryError:
            before = {}
        here = {layer["digest"] for layer in before.get("layers", ())}
        sizes = {layer["digest"]: layer["size"] for layer in manifest.document["layers"]}
        skipped = sum(size for digest, size in sizes.items() if digest in here)
        elsewhere = (set(sizes) - here) & self.run.known_blobs
        mounted = sum(sizes[digest] for digest in elsewhere)
        self.run.known_blobs.update(sizes)
        return Bytes(sum(sizes.values()) - skipped - mounted, mounted, skipped)

    async def _failed(self, error: Exception, log: Log) -> Outcome:
        """The outcome of an image whose work raised ``error``."""
        await self.run.logs.drain(log)
        told = error if isinstance(error, PipelineError) else explained(error, self.image.name)
        if not isinstance(error, PipelineError):
            if self.run.logs.lost:
                log.write(f"({self.run.logs.lost}; what the engine said of the failure:)")
            if self.run.logs.lost or not isinstance(told, ImageError) or not log.heard:
                log.write(output_of(error))
            if isinstance(told, ImageError) and told.kind == "Unexpected":
                log.write("".join(traceback.format_exception(error)))
        log.write(f"failed: {told}")
        return self._outcome("failed", error=told)

    def _outcome(
        self,
        status: str,
        *,
        digest: str = "",
        tags: tuple[str, ...] = (),
        size: Bytes | None = None,
        error: PipelineError | None = None,
    ) -> Outcome:
        image = self.image
        return Outcome(
            image.name, image.repository, status, image.why, digest, tags,
            tuple(self.phases), size, error, f"logs/{image.name}.log",
        )  # fmt: skip

    def _remark(self, log: Log, text: str) -> None:
        log.write(text)
        self.run.audience.remark(self.image.name, text)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = anyio.current_time() - self.run.began
        try:
            yield
        finally:
            self.phases.append(Phase(name, start, anyio.current_time() - self.run.began))
