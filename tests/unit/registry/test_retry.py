from __future__ import annotations

import anyio
import pytest

from ci.registry.retry import Policy, TransientError, reads_as_transient, retrying

QUICK = Policy(attempts=4, first=0.001)


def outcomes(*steps: Exception | str) -> tuple[list[str], object]:
    """What ``retrying`` says and gives, when its attempts end so."""
    said: list[str] = []
    left = list(steps)

    async def attempt() -> str:
        step = left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def run() -> str:
        return await retrying(attempt, policy=QUICK, say=said.append)

    try:
        return said, anyio.run(run)
    except TransientError as error:
        return said, error


def test_transient_failures_are_asked_again_and_told() -> None:
    said, result = outcomes(TransientError("busy"), TransientError("reset"), "done")
    assert result == "done"
    assert [text.split(" in ")[0] for text in said] == [
        "busy; attempt 2 of 4",
        "reset; attempt 3 of 4",
    ]


def test_the_last_failure_is_raised() -> None:
    last = TransientError("fourth")
    said, result = outcomes(*[TransientError("again")] * 3, last)
    assert result is last
    assert len(said) == 3


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(KeyError):
        outcomes(KeyError("x"), "never reached")


def test_pauses_grow_are_random_below_a_ceiling_and_heed_the_server() -> None:
    policy = Policy(first=1, longest=8)
    for failures, ceiling in ((0, 1), (1, 2), (2, 4), (3, 8), (9, 8)):
        pauses = {policy.pause(failures) for _ in range(200)}
        assert len(pauses) > 100
        assert all(0 <= pause <= ceiling for pause in pauses)
        assert max(pauses) > ceiling / 2
    assert policy.pause(0, asked=5) == 5
    assert policy.pause(0, asked=3600) == 8


@pytest.mark.parametrize(
    "message",
    [
        "failed to push x: unexpected status from PUT request to https://x/v2/: 503 Service Unavail"
        "able",
        "failed to copy: httpReadSeeker: failed open: unexpected status code https://x: "
        "429 Too Many Requests - Server message: toomanyrequests: Rate exceeded",
        "unexpected status: 500 Internal Server Error",
        'failed to do request: Put "http://127.0.0.1:5000/v2/": read tcp: connection reset by peer',
        'failed to do request: Head "http://127.0.0.1:1/": dial tcp: connect: connection refused',
        'Patch "http://x": write: broken pipe',
        'Put "http://x": EOF',
        "net/http: TLS handshake timeout; i/o timeout",
        "ThrottlingException: Rate exceeded",
    ],
)
def test_engine_messages_that_are_worth_another_attempt(message: str) -> None:
    assert reads_as_transient(message)


@pytest.mark.parametrize(
    "message",
    [
        "unexpected status from HEAD request to https://x/v2/a/blobs/: 401 Unauthorized",
        "failed to push: 403 Forbidden",
        "name unknown: The repository with name 'a' does not exist",
        "tag invalid: The image tag 'latest' already exists and cannot be overwritten",
        'process "/bin/sh -c pip install x" did not complete successfully: exit code: 1: '
        "503 Service Unavailable",
        "dockerfile parse error on line 5: unknown instruction: RUM",
    ],
)
def test_engine_messages_that_are_an_answer(message: str) -> None:
    assert not reads_as_transient(message)
