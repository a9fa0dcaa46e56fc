"""``record``: what the application's stacks run, tagged in its repositories."""

from __future__ import annotations

from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.reach import Reach
from ci.deploy.record import Recording, record, told
from ci.deploy.rollback import stack_names
from ci.settings import Settings


class Recorder:
    """A run of ``record``, after a deployment by other ways than ``deploy``."""

    takes_bucket = False

    def __init__(self, settings: Settings) -> None:
        self._names = stack_names(settings)
        self.stacks: list[StackOutcome] = []
        self.recording: Recording | None = None
        self.kept: list[Kept] = []

    async def tell(self, reach: Reach) -> None:
        """Records. Raises PipelineError."""
        self.recording = await record(reach, self._names)
        for line in told(reach, self.recording):
            reach.desk.say(line)
