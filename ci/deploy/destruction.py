"""``destroy``: the application's stacks, those first that nobody needs any more, then the
infrastructure's; what they own is emptied before.

What is declared Retain stays, and is listed; with ``--purge`` it goes, too. An attempt that failed
or was interrupted is taken up where it stopped.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence

import anyio

from ci.deploy import confirm, events, purge, schedule, states
from ci.deploy.emptying import BUCKET, REPOSITORY, empty
from ci.deploy.found import Found
from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.owned import Piece
from ci.deploy.reach import Reach
from ci.deploy.record import Recording
from ci.deploy.rollback import stack_names
from ci.deploy.stack import failed
from ci.deploy.survey import Survey, survey, told
from ci.errors import PipelineError, once_started
from ci.settings import Settings

_RETAINED = "declared Retain"


class Destruction:
    """A run of ``destroy``. What has come of it can be read at any time."""

    takes_bucket = False

    def __init__(self, settings: Settings) -> None:
        self._application = stack_names(settings)
        self._infrastructure = settings.infrastructure_stack
        self._done: dict[str, StackOutcome] = {}
        self.recording: Recording | None = None
        self.kept: list[Kept] = []

    @property
    def stacks(self) -> list[StackOutcome]:
        """How each stack ended so far."""
        return [
            self._done.get(name) or StackOutcome(name, "skipped", "nothing was done to it")
            for name in (*self._application, self._infrastructure)
        ]

    async def tell(self, reach: Reach) -> None:
        """Destroys. Raises InputErrors before anything is started."""
        settings, say = reach.settings, reach.desk.say
        seen = await survey(reach, self._application, self._infrastructure)
        for each in self.stacks:
            if each.name not in seen.there:
                self._note(reach, StackOutcome(each.name, "absent", "there is no such stack"))
        for line in told(seen, purged=settings.purge):
            say(line)
        if seen.there and (reach.cloud.port is None or settings.yes):
            await confirm.require(reach.cloud.account, settings.yes, sys.stdin, sys.stderr)

        def skip(name: str, other: str) -> None:
            why = f"{other}, which {seen.after[name][other]}, is {self._done[other].status}"
            self._note(reach, StackOutcome(name, "skipped", why))

        with once_started():
            await schedule.run(seen.after, lambda name: self._destroy(reach, seen, name), skip)
        self._tell_what_is_left(reach, seen)

    def _note(self, reach: Reach, outcome: StackOutcome) -> None:
        self._done[outcome.name] = outcome
        mark, why = "✓" if outcome.ok else "✗", f" ({outcome.why})" if outcome.why else ""
        reach.desk.say(f"{mark} stack {outcome.name} {outcome.status}{why}")
        if outcome.error:
            reach.desk.say(f"  {outcome.error}")

    async def _destroy(self, reach: Reach, seen: Survey, name: str) -> bool:
        """Empties and deletes one stack, and purges what it leaves; whether all that is done."""
        began = anyio.current_time()
        status, error = "interrupted", None
        try:
            staying = await _deleted(reach, seen.there[name], seen.pieces[name])
            status = "deleted"
            if error := await self._leave(reach, staying):
                status = "failed"
        except PipelineError as raised:
            status, error = "failed", PipelineError(raised.where, raised.what, raised.fix)
        finally:
            seconds = anyio.current_time() - began
            self._note(reach, StackOutcome(name, status, seconds=seconds, error=error))
        return self._done[name].ok

    async def _leave(self, reach: Reach, staying: Sequence[Piece]) -> PipelineError | None:
        """Notes what a stack has left, and purges it where that is asked for; what went wrong."""
        error = None
        for piece in purge.in_order(staying):
            why = _RETAINED
            if reach.settings.purge and not purge.known(piece.kind):
                why = f"{_RETAINED}; this program deletes no {piece.kind}"
            elif reach.settings.purge:
                try:
                    how = await purge.purge(reach, piece)
                    reach.desk.say(f"{piece.stack}: purged {piece.place} ({piece.kind}): {how}")
                    continue
                except PipelineError as raised:
                    why = f"{_RETAINED}; not purged: {raised.what}"
                    error = PipelineError(
                        f"{piece.kind} {piece.physical_id}", raised.what,
                        f"{raised.fix}; the stack is gone: delete it by hand",
                    )  # fmt: skip
            self.kept.append(Kept(piece.stack, piece.place, piece.kind, piece.physical_id, why))
        return error

    def _tell_what_is_left(self, reach: Reach, seen: Survey) -> None:
        say = reach.desk.say
        if self.kept:
            say("still there:")
        for each in self.kept:
            say(f"  {each.kind} {each.physical_id} ({each.stack}; {each.why})")
        absent = [each.name for each in self.stacks if each.status == "absent"]
        if reach.settings.purge and absent:
            names = ", ".join(absent)
            say(
                f"what {names} may have left behind is not known: a stack that is gone tells nobody"
            )


async def _deleted(reach: Reach, stack: Found, pieces: Sequence[Piece]) -> list[Piece]:
    """Empties what goes with a stack, and deletes it; what it leaves. Raises PipelineError."""
    desk = reach.desk
    for piece in pieces:
        if piece.stays or piece.kind not in (BUCKET, REPOSITORY):
            continue
        if count := await empty(reach, piece.kind, piece.physical_id):
            what = "versions" if piece.kind == BUCKET else "images"
            desk.say(f"{stack.name}: emptied {piece.physical_id} of {count} {what}")
    if stack.status == "DELETE_IN_PROGRESS":
        # Of an attempt before: its own events, whatever its token was.
        since, token = (await events.history(desk, stack.id, stack.status))[0].id, ""
    else:
        token = f"destroy-{uuid.uuid4()}"
        since = await events.newest(desk, stack.id)
        await desk.stacks(
            "DeleteStack",
            lambda client: client.delete_stack(StackName=stack.id, ClientRequestToken=token),
        )
    try:
        ending = await events.follow(
            desk, stack.name, stack.id, since, token,
            lambda event: desk.say(f"{stack.name}: {events.told(event)}"), states.deleted,
        )  # fmt: skip
    except anyio.get_cancelled_exc_class():
        desk.say(f"{stack.name}: CloudFormation goes on by itself; `destroy` again takes it up")
        raise
    if not states.deleted(ending.status):
        raise failed(stack.name, ending)
    return [piece for piece in pieces if piece.stays]
