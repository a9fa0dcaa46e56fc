"""Stacks side by side: who waits for whom, and who goes on when one fails."""

from __future__ import annotations

import anyio
import pytest

from ci.deploy.desk import in_thread, together
from ci.deploy.schedule import run

NEEDS = {"a": {}, "b": {"a": "x"}, "c": {"a": "x"}, "d": {"b": "x", "c": "x"}, "e": {}}


def ran(failing: frozenset[str] = frozenset()) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """What began and ended, in order, and who was skipped for whom."""
    story: list[tuple[str, str]] = []
    skipped: dict[str, str] = {}

    async def work(name: str) -> bool:
        story.append(("began", name))
        await anyio.sleep(0.01)
        story.append(("ended", name))
        return name not in failing

    async def main() -> None:
        await run(NEEDS, work, skipped.__setitem__)

    anyio.run(main)
    return story, skipped


def test_independent_stacks_go_side_by_side_and_others_wait() -> None:
    story, skipped = ran()
    assert story[:2] == [("began", "a"), ("began", "e")]
    assert story.index(("began", "b")) > story.index(("ended", "a"))
    assert story.index(("began", "c")) < story.index(("ended", "b"))
    assert story.index(("began", "d")) > max(story.index(("ended", each)) for each in "bc")
    assert skipped == {}


def test_what_needs_a_failed_stack_is_skipped_and_others_go_on() -> None:
    story, skipped = ran(frozenset({"b"}))
    assert {name for what, name in story if what == "ended"} == {"a", "b", "c", "e"}
    assert skipped == {"d": "b"}
    _, skipped = ran(frozenset({"a"}))
    assert skipped == {"b": "a", "c": "a", "d": "b"}


def test_the_first_error_of_several_is_raised_as_it_is() -> None:
    async def broken(key: int) -> int:
        await anyio.sleep(key / 100)
        raise ValueError(key)

    async def main() -> None:
        with pytest.raises(ValueError, match="1"):
            await together([3, 1, 2], broken)

    anyio.run(main)


def test_answers_of_threads_come_in_the_order_of_the_questions() -> None:
    async def asked(key: int) -> int:
        return await in_thread(lambda: key * 2)

    async def main() -> dict[int, int]:
        return await together([3, 1, 2], asked)

    assert list(anyio.run(main).items()) == [(3, 6), (1, 2), (2, 4)]


def test_a_thread_that_does_not_answer_holds_nobody_up() -> None:
    import threading
    import time

    hang = threading.Event()

    async def main() -> None:
        with anyio.move_on_after(0.05):
            await in_thread(hang.wait)

    began = time.monotonic()
    anyio.run(main)
    assert time.monotonic() - began < 2
    hang.set()


def test_what_a_thread_raises_is_raised_where_it_is_awaited() -> None:
    def broken() -> None:
        raise KeyError("x")

    async def main() -> None:
        with pytest.raises(KeyError):
            await in_thread(broken)

    anyio.run(main)
