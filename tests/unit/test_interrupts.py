from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import anyio
import anyio.lowlevel
import pytest

from ci.errors import PipelineError
from ci.interrupts import Interrupted, running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_after_it_has_cleaned_up(number: signal.Signals) -> None:
    steps: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await anyio.sleep(30)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
                steps.append("cleaned")

    begun = time.monotonic()
    with pytest.raises(Interrupted):
        running(work)
    assert steps == ["cleaned"]
    assert time.monotonic() - begun < 3


def test_work_that_ends_by_itself_ends_so() -> None:
    async def work() -> None:
        await anyio.lowlevel.checkpoint()

    running(work)


def test_an_error_comes_out_of_its_groups() -> None:
    error = PipelineError("where", "what", "fix")

    async def fail() -> None:
        raise error

    async def work() -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            inner.start_soon(fail)
            outer.start_soon(anyio.sleep, 30)

    with pytest.raises(PipelineError) as raised:
        running(work)
    assert raised.value is error


STUBBORN = """
import anyio, os, sys
from ci import interrupts
interrupts.GRACE = 0.3
async def work():
    print("up", flush=True)
    while True:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(30)
interrupts.running(work)
"""


@pytest.mark.parametrize("signals", [1, 2])
def test_work_that_will_not_end_is_ended(signals: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert process.wait(5) == 130
    process.stdout.close()
