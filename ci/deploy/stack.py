"""One stack: its change set, shown, judged, executed and followed to its end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from ci.deploy import change_sets, changes, events, found, running, states
from ci.deploy.bucket import upload
from ci.deploy.change_sets import ChangeSet, Wanted
from ci.deploy.changes import Change
from ci.deploy.desk import Desk, together
from ci.deploy.outcome import StackOutcome
from ci.errors import PipelineError

_GRACE = 3.0
_ANYTHING = """\
{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"""


@dataclass(frozen=True)
class Job:
    """What a stack is to become.

    ``where`` names the template for the user, ``images`` are the digests that its functions will
    run, by place (``rNested/rFunction``). A parameter without a value keeps the one that it has;
    tags and a stack policy that are None stay as they are. ``shown`` are the parameters' values
    for everybody's eyes.
    """

    name: str
    where: str
    text: str
    parameters: Mapping[str, str | None]
    tags: Mapping[str, str] | None
    policy: str | None
    capabilities: tuple[str, ...]
    has_nested: bool = False
    images: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """What holds for all stacks of a run: the role that CloudFormation takes on, and whether
    what holds data may be replaced."""

    role: str
    allow_replacement: bool


class Refused(PipelineError):
    """A change set that is not executed, for what it would destroy."""


async def deploy(job: Job, desk: Desk, rules: Rules, ended: Callable[[StackOutcome], None]) -> bool:
    """Makes a stack what it is to be; whether it now is. ``ended`` is told how it went, also
    when it was cancelled."""
    began = anyio.current_time()
    work = _Deployment(job, desk, rules)
    status, outputs, error = "interrupted", dict[str, str](), None
    try:
        status = await work.run()
        there = await found.stack(desk, job.name)
        outputs = dict(there.outputs) if there else {}
    except PipelineError as raised:
        status = "refused" if isinstance(raised, Refused) else "failed"
        # No InputError: something was started.
        error = PipelineError(raised.where, raised.what, raised.fix)
    finally:
        outcome = StackOutcome(
            job.name, status, template=job.where, parameters=job.shown, changes=work.changes,
            outputs=outputs, seconds=anyio.current_time() - began, error=error,
        )  # fmt: skip
        ended(outcome)
    return outcome.ok


class _Deployment:
    """A stack in work. ``changes`` are known once there is a change set."""

    def __init__(self, job: Job, desk: Desk, rules: Rules) -> None:
        self._job, self._desk, self._rules = job, desk, rules
        self.changes: tuple[Change, ...] = ()
        self._under_way = False

    async def run(self) -> str:
        """The status of the outcome: created, updated or unchanged. Raises PipelineError."""
        job, desk = self._job, self._desk
        there = await found.stack(desk, job.name)
        if refusal := states.refusal(job.name, there.status if there else None):
            raise refusal
        url = await upload(desk, job.text, job.where)
        wanted = Wanted(
            job.name, url, job.parameters, job.tags, job.capabilities, self._rules.role,
            job.has_nested,
        )  # fmt: skip
        change_set = await change_sets.create(desk, wanted, there)
        if change_set is None:
            await self._set_policy(job.name, job.policy)
            self._say("no changes")
            return "unchanged"
        try:
            self.changes = await with_images(desk, change_set, job.images)
            for line in changes.lines(self.changes):
                self._say(line)
            self._judge()
        except BaseException:
            await change_sets.give_up(desk, change_set)
            raise
        await self._execute(change_set)
        if change_set.creates:
            await self._set_policy(change_set.stack_id, job.policy)
            return "created"
        return "updated"

    def _judge(self) -> None:
        """Raises Refused where data would be lost, and nobody has allowed it."""
        lost = [change for change in self.changes if change.loses_data]
        if not lost or self._rules.allow_replacement:
            return
        told = "; ".join(f"{_fate(change)} {change.place} ({change.kind})" for change in lost)
        what = f"its change set would take what they hold from resources: {told}"
        fix = (
            "nothing of it was executed; take back what leads to it, or allow it with "
            "--allow-replacement"
        )
        raise Refused(f"stack {self._job.name}", what, fix)

    async def _set_policy(self, stack: str, policy: str | None) -> None:
        if policy is not None:
            await self._desk.stacks(
                "SetStackPolicy",
                lambda client: client.set_stack_policy(StackName=stack, StackPolicyBody=policy),
            )

    async def _execute(self, change_set: ChangeSet) -> None:
        """Executes the change set under the stack's policy, which guards what holds data: where
        the user has allowed by name what it would refuse, it is lifted meanwhile."""
        stack, policy = change_set.stack_id, None if change_set.creates else self._job.policy
        lifted = policy is not None and any(change.loses_data for change in self.changes)
        try:
            await self._set_policy(stack, _ANYTHING if lifted else policy)
            await self._run(change_set)
        finally:
            if lifted and self._under_way:
                self._say("its stack policy is lifted, until the next deployment sets it again")
            elif lifted:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_GRACE):
                    await self._set_policy(stack, policy)

    async def _run(self, change_set: ChangeSet) -> None:
        desk, name = self._desk, self._job.name
        token = f"deploy-{uuid.uuid4()}"
        since = await events.newest(desk, change_set.stack_id)
        self._under_way = True
        try:
            await change_sets.execute(desk, change_set, token)
            ending = await events.follow(
                desk, name, change_set.stack_id, since, token,
                lambda event: self._say(events.told(event)),
            )  # fmt: skip
        except change_sets.Overtaken:
            self._under_way = False
            await change_sets.give_up(desk, change_set)
            raise
        except anyio.get_cancelled_exc_class():
            self._say(
                "CloudFormation goes on by itself; see how it ends: "
                f"aws cloudformation describe-stack-events --stack-name {name}"
            )
            raise
        self._under_way = False
        if not states.succeeded(ending.status):
            raise failed(name, ending)

    def _say(self, text: str) -> None:
        self._desk.say(f"{self._job.name}: {text}")


async def with_images(
    desk: Desk, change_set: ChangeSet, images: Mapping[str, str]
) -> tuple[Change, ...]:
    """The changes, with the images of the functions that get another one; ``images`` are the
    digests to come, by place."""

    async def one(change: Change) -> Change:
        if not changes.touches_code(change):
            return change
        before = None
        if change.action != "added" and change.physical_id:
            before = await running.image_of(desk, change.physical_id)
        after = images.get(change.place, "")
        return changes.with_image(change, before.digest if before else "", after)

    return tuple((await together(change_set.changes, one)).values())


def failed(name: str, ending: events.Ending) -> PipelineError:
    """What went wrong in an operation that did not succeed: what failed first, and why."""
    what = f"ended in {ending.status}"
    if first := ending.failure:
        reason = first.reason or "CloudFormation does not say why"
        what += f"; the first failure: {first.logical_id} ({first.kind}): {reason}"
    delete = f"aws cloudformation delete-stack --stack-name {name}"
    fix = {
        "ROLLBACK_COMPLETE": f"mend it, delete the stack ({delete}), and deploy again",
        "UPDATE_ROLLBACK_COMPLETE": "the stack is as it was before; mend it, and deploy again",
        "DELETE_FAILED": "mend it, and run again: it continues where it stopped",
    }.get(ending.status)
    if not fix:
        refusal = states.refusal(name, ending.status)
        fix = refusal.fix if refusal else "mend it, and run again"
    return PipelineError(f"stack {name}", what, fix)


def _fate(change: Change) -> str:
    maybe = "maybe " if not change.certain else ""
    kept = " (the old one is kept)" if change.kept else ""
    return f"{maybe}{change.action}{kept}:"
