import asyncio

import pytest

from ci.engine.shared import Shared


def test_equal_work_runs_once_and_is_kept() -> None:
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return 42

    async def main() -> list[int]:
        shared = Shared()
        together = await asyncio.gather(*(shared.once("k", work) for _ in range(5)))
        return [*together, await shared.once("k", work)]

    assert asyncio.run(main()) == [42] * 6
    assert runs == 1


def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    outcomes = iter([ValueError("first"), None])

    async def work() -> str:
        await asyncio.sleep(0.01)
        if error := next(outcomes):
            raise error
        return "second"

    async def main() -> str:
        shared = Shared()
        failed = await asyncio.gather(
            *(shared.once("k", work) for _ in range(3)), return_exceptions=True
        )
        assert [str(error) for error in failed] == ["first"] * 3
        return await shared.once("k", work)

    assert asyncio.run(main()) == "second"


def test_work_ends_when_nobody_waits_any_more() -> None:
    async def main() -> None:
        shared, ended = Shared(), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.set()
                raise

        waiters = [asyncio.create_task(shared.once("k", work)) for _ in range(2)]
        await asyncio.sleep(0.01)
        waiters[0].cancel()
        await asyncio.sleep(0.01)
        assert not ended.is_set()
        waiters[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[1]
        assert ended.is_set()

    asyncio.run(main())


def test_work_asked_for_again_after_a_cancellation_starts_anew() -> None:
    async def main() -> str:
        shared, runs = Shared(), 0

        async def work() -> str:
            nonlocal runs
            runs += 1
            await asyncio.sleep(60 if runs == 1 else 0)
            return f"run {runs}"

        first = asyncio.create_task(shared.once("k", work))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0)
        return await shared.once("k", work)

    assert asyncio.run(main()) == "run 2"
