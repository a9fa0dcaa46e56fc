"""The helper as a process of this machine, its connection as the host sees it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ci.errors import InputError
from ci.home import Home
from ci.local.lambdas import observer


@pytest.fixture(scope="module")
def program():
    home = Home.from_environ(os.environ)
    observer.install(home, os.environ, print)
    return observer.directory(home) / observer.PROGRAM


def observed(program, scenario, *command):
    """``scenario(watch, process)`` with the helper at work on a command; what it printed."""
    printed = []

    async def main():
        async with observer.watching(printed.append) as watch:
            process = await asyncio.create_subprocess_exec(
                str(program), f"127.0.0.1:{watch.port}", *command
            )
            try:
                await asyncio.wait_for(watch.connected.wait(), 10)
                await asyncio.wait_for(scenario(watch, process), 20)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    asyncio.run(main())
    return b"".join(printed)


async def to_the_end(watch, _process):
    await watch.ended.wait()


def test_output_of_both_streams_comes_in_order_and_whole(program):
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)\nos.write(1, b'end')"
    printed = observed(program, to_the_end, sys.executable, "-c", code)
    assert printed == b"".join(b"%d\n" % n for n in range(2000)) + b"end"


@pytest.mark.parametrize(("code", "expected"), [("exit(0)", 0), ("exit(7)", 7),
                         ("import os; os.kill(os.getpid(), 9)", 137)])  # fmt: skip
def test_the_exit_code_is_told_and_its_own(program, code, expected):
    codes = []

    async def scenario(watch, process):
        await watch.ended.wait()
        codes.extend([watch.exit_code, await process.wait()])

    observed(program, scenario, sys.executable, "-c", code)
    assert codes == [expected, expected]


def test_a_program_that_is_not_there_is_a_fault(program):
    async def scenario(watch, _process):
        await watch.ended.wait()
        assert "/no/such/program" in watch.fault
        assert watch.exit_code is None

    observed(program, scenario, "/no/such/program")


def test_a_mark_comes_after_all_that_was_printed_and_with_the_peak(program, tmp_path):
    done = tmp_path / "done"
    code = (
        "import pathlib, time; x = b'x' * (90 << 20); del x; print('y' * 60000, flush=True); "
        f"pathlib.Path({str(done)!r}).touch(); time.sleep(60)"
    )
    printed = []

    async def main():
        async with observer.watching(printed.append) as watch:
            process = await asyncio.create_subprocess_exec(
                str(program), f"127.0.0.1:{watch.port}", sys.executable, "-c", code
            )
            deadline = time.monotonic() + 20
            while not done.exists() and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await watch.mark()
            assert b"".join(printed) == b"y" * 60000 + b"\n"
            assert 90 * 1024 < watch.peak_kib < 150 * 1024
            watch.close()
            assert await asyncio.wait_for(process.wait(), 5) == 137

    asyncio.run(main())


def test_all_processes_end_with_the_connection(program):
    mark = f"{os.getpid()}-{time.monotonic()}"
    code = f"import os, time; os.fork() or os.setsid(); time.sleep(60)  # {mark}"

    async def scenario(watch, process):
        await asyncio.sleep(0.5)
        assert len(_running(mark)) == 2
        watch.close()
        assert await process.wait() == 137

    observed(program, scenario, sys.executable, "-c", code)
    deadline = time.monotonic() + 5
    while _running(mark):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _running(mark):
    """The processes of the function, without their helper."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if mark.encode() in b" ".join(words) and not words[0].endswith(
                observer.PROGRAM.encode()
            ):
                found.append(process.name)
    return found


def test_a_host_that_is_not_there_is_an_error(program):
    done = subprocess.run(
        [program, "127.0.0.1:1", "true"], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 125
    assert "connection refused" in done.stderr


def test_without_go_the_helper_cannot_be_made(tmp_path):
    with pytest.raises(InputError, match="Go: is not on PATH"):
        observer.install(Home(tmp_path), {"PATH": str(tmp_path)}, print)
    assert [tool.name for tool in observer.missing(Home(tmp_path))] == ["observer"]


def test_the_helper_outlives_no_signal_of_its_function(program):
    async def scenario(watch, process):
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        await process.wait()

    observed(program, scenario, "sleep", "30")


def test_what_a_function_left_behind_is_no_zombie_for_ever(program):
    # A grandchild whose parent is gone ends after 0.2 s.
    code = (
        "import os, time\n"
        "if not os.fork():\n"
        "    os.fork() or (time.sleep(0.2), os._exit(0))\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "time.sleep(60)\n"
    )

    async def scenario(watch, process):
        await asyncio.sleep(1)
        assert len(_children(process.pid)) == 1

    observed(program, scenario, sys.executable, "-c", code)


def _children(pid):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{pid}\n" in (process / "status").read_text():
                found.append(process.name)
    return found
