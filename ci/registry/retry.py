"""Which failures pass by themselves, and how long to wait before the next attempt.

Exponential backoff with full jitter. Source: "Exponential Backoff And Jitter", AWS Architecture
Blog. Throttling, server errors, broken connections and time-outs are transient; every other
answer of a server (4xx) is an answer, and asking again would not change it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

T = TypeVar("T")

# What BuildKit, Dagger and containerd's registry client say, in words only.
_TRANSIENT_TEXT = re.compile(
    r"\b429\b|too ?many ?requests|throttl|rate exceeded"
    r"|\b50[0234]\b.{0,40}(error|gateway|unavailable|time-?out)|status code:? 50[0234]\b"
    r"|connection (was )?(reset|refused|closed|aborted)|broken pipe|unexpected EOF|: EOF\b"
    r"|i/o timeout|timed? ?out|deadline exceeded|temporary failure|server misbehaving"
    r"|http2: .*(goaway|connection lost)|blob upload (unknown|invalid)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Policy:
    """``attempts`` in all; the wait before the n-th is random below ``first`` · 2ⁿ⁻¹, capped.

    ``first`` and ``longest`` are seconds.
    """

    attempts: int = 7
    first: float = 0.3
    longest: float = 20.0

    def pause(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after so many failures; ``asked`` is the server's own Retry-After."""
        ceiling = min(self.longest, self.first * 2**failures)
        return max(random.uniform(0, ceiling), min(asked or 0.0, self.longest))  # noqa: S311


class TransientError(Exception):
    """A failure worth another attempt; ``asked`` is the server's Retry-After in seconds."""

    def __init__(self, what: str, asked: float | None = None) -> None:
        super().__init__(what)
        self.asked = asked


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: Policy,
    say: Callable[[str], None] = lambda text: None,
) -> T:
    """The result of ``attempt``, asked again while it raises TransientError.

    ``say`` hears of each failure that is followed by another attempt. The last one is raised.
    """
    for failures in range(policy.attempts):
        try:
            return await attempt()
        except TransientError as error:
            if failures + 1 == policy.attempts:
                raise
            pause = policy.pause(failures, error.asked)
            say(f"{error}; attempt {failures + 2} of {policy.attempts} in {pause:.1f} s")
            await anyio.sleep(pause)
    raise AssertionError("unreachable: a policy has at least one attempt")


def reads_as_transient(message: str) -> bool:
    """Whether an engine's message tells of a transient failure of a registry or the network.

    Never true for a step of a Dockerfile that failed: its output may say anything.
    """
    if re.search(r"did not complete successfully|exit code", message):
        return False
    return bool(_TRANSIENT_TEXT.search(message))
