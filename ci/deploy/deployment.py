"""``deploy``: the packaged stacks, each after those that it needs; then a record of the images."""

from __future__ import annotations

from ci.deploy import artifact, plans
from ci.deploy.artifact import Packaged
from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.plans import Draft
from ci.deploy.reach import Reach
from ci.deploy.record import Recording, record, told
from ci.errors import once_started
from ci.package.stacks import ROOM
from ci.settings import Settings

_AGAIN = "build and package again (python ci/main.py app): nothing is deployed without its images"


class Deployment:
    """A run of ``deploy``. What has come of it can be read at any time.

    Raises InputErrors for an artifact that is none.
    """

    takes_bucket = True

    def __init__(self, settings: Settings) -> None:
        self._packaged = artifact.read(settings.report / ROOM, settings.prefix)
        self._done: dict[str, StackOutcome] = {}
        self.recording: Recording | None = None
        self.kept: list[Kept] = []

    @property
    def stacks(self) -> list[StackOutcome]:
        """How each stack ended so far, in the artifact's order."""
        return [
            self._done.get(each.name)
            or StackOutcome(each.name, "skipped", "nothing was done to it", str(each.path))
            for each in self._packaged
        ]

    async def tell(self, reach: Reach) -> None:
        """Deploys. Raises InputErrors before anything is started, PipelineError where what runs
        afterwards cannot be recorded."""
        plan = await plans.planned(reach, [_draft(each) for each in self._packaged], _AGAIN)
        plans.tell(reach, plan)
        with once_started():
            await plans.execute(reach, plan, self._done)
            # After a failure, too: what runs must not lose its tag.
            self.recording = await record(reach, list(plan.jobs))
        for line in told(reach, self.recording):
            reach.desk.say(line)


def _draft(packaged: Packaged) -> Draft:
    return Draft(
        packaged.name, str(packaged.path), packaged.text, packaged.document, packaged.parameters,
        packaged.parameters, packaged.tags, packaged.policy,
    )  # fmt: skip
