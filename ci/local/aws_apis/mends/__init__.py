"""What moto's services lack for the rehearsal, put into moto before it serves anything.

One module for each service. Each says what real AWS does, and where that is written.
"""

from __future__ import annotations

from ci.local.aws_apis.mends import (
    actions,
    buckets,
    functions,
    machines,
    notifications,
    queues,
    repositories,
    rules,
)
from ci.local.aws_apis.surroundings import Surroundings


def install(surroundings: Surroundings) -> None:
    """Puts all of them in their places."""
    actions.install()
    buckets.install()
    functions.install(surroundings)
    machines.install()
    notifications.install()
    queues.install()
    repositories.install(surroundings)
    rules.install()
