"""``dagger-embedded``: the two calls of the ``dagger`` CLI that programs depend on.

``session`` serves the API until standard input closes and says where on standard output, as
Dagger's SDKs expect of ``_EXPERIMENTAL_DAGGER_CLI_BIN``; ``run COMMAND`` serves it to one
command. It is a program of its own, so it reads the environment itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from ci.errors import InputError, PipelineError
from ci.home import Home

INTERRUPT_SECONDS = 3.0
"""How long a program may take to end by an interrupt before ``run`` terminates it."""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code (2: wrong usage or a missing prerequisite)."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "run":
        options.program = options.program[options.program[:1] == ["--"] :]
        if not options.program:
            parser.error("run: name a program")
    try:
        if options.workdir:
            os.chdir(options.workdir)
        match options.command:
            case "session":
                return asyncio.run(_session(_home(), options.silent))
            case "run":
                return asyncio.run(_run(_home(), options.program, options.silent))
            case _:
                from ci.engine.embedded import version

                sys.stdout.write(f"dagger-embedded {version()} (BuildKit)\n")
                return 0
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"dagger-embedded: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dagger-embedded",
        description="Stands in for the dagger CLI where no Dagger engine can run: "
        "BuildKit does the work.",
    )
    parser.add_argument("-s", "--silent", action="store_true", help="no progress")
    parser.add_argument("--progress", metavar="MODE", help="accepted as by dagger; always plain")
    parser.add_argument("--workdir", metavar="DIR", help="what relative host paths start from")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    session = commands.add_parser("session", help="serve Dagger's API until standard input closes")
    session.add_argument("--label", action="append", help="accepted as by dagger")
    # Not to lose one that stood before the command.
    session.add_argument("--workdir", metavar="DIR", default=argparse.SUPPRESS)
    run = commands.add_parser("run", help="run a program that finds the session in its environment")
    run.add_argument("--progress", metavar="MODE", default=argparse.SUPPRESS)
    # Everything after its name is the program's own, options too.
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT...]")
    commands.add_parser("version", help="the version of Dagger's API that is spoken")
    return parser


def _home() -> Home:
    """The home, with the modules that set-up generated into it importable."""
    home = Home.from_environ(os.environ)
    sys.path.append(str(home.root / "python"))
    if not (home.root / "python" / "ops_pb2.py").exists():
        raise InputError(
            "embedded engine", f"is not installed in {home.root}", "run `make setup` once"
        )
    return home


def _write(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads progress any more; the work goes on
        sys.stderr.write(text)
        sys.stderr.flush()


def _discard(_: str) -> None:
    pass


async def _session(home: Home, silent: bool) -> int:
    from ci.engine.embedded import session

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    async with session(home, dict(os.environ), _discard if silent else _write) as server:
        where = {"port": server.port, "session_token": server.token}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        stdin = asyncio.create_task(_until_closed())
        await asyncio.wait(
            [stdin, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        stdin.cancel()
    return 0


async def _until_closed() -> None:
    """Returns when standard input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except ValueError:
        return  # a file such as /dev/null has no end to wait for: it has ended
    while await reader.read(4096):
        pass


def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()


async def _run(home: Home, command: list[str], silent: bool) -> int:
    from ci.engine.embedded import session

    loop = asyncio.get_running_loop()
    async with session(home, dict(os.environ), _discard if silent else _write) as server:
        environ = os.environ | {
            "DAGGER_SESSION_PORT": str(server.port),
            "DAGGER_SESSION_TOKEN": server.token,
            "DAGGER_EMBEDDED": str(Path(sys.argv[0]).absolute()),
        }
        try:
            child = await asyncio.create_subprocess_exec(*command, env=environ)
        except OSError as error:
            raise InputError(
                f"dagger-embedded run {command[0]}", error.strerror or str(error),
                "name a program that exists",
            ) from error  # fmt: skip
        # Ctrl-C reaches the command from the terminal itself: it gets time to end by that.
        loop.add_signal_handler(signal.SIGINT, loop.call_later, INTERRUPT_SECONDS, _end, child)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, child.send_signal, number)
        code = await child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
