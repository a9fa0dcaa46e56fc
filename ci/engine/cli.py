"""``dagger-embedded``: the two calls of the ``dagger`` CLI that programs depend on.

``session`` serves the API until standard input closes and says where on standard output, as
Dagger's SDKs expect of ``_EXPERIMENTAL_DAGGER_CLI_BIN``; ``run COMMAND`` serves it to one
command. It is a program of its own, so it reads the environment itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from ci.errors import InputError, PipelineError
from ci.home import Home

USAGE = """\
usage: dagger-embedded session          serve Dagger's API until standard input closes
       dagger-embedded run COMMAND...   run a command that finds the session in its environment
       dagger-embedded version

Stands in for the dagger CLI where no Dagger engine can run: BuildKit does the work.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code (2: wrong usage or a missing prerequisite)."""
    arguments = sys.argv[1:] if argv is None else argv
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    try:
        match command:
            case "session":
                return asyncio.run(_session(_home()))
            case "run":
                while rest[:1] and rest[0].startswith("-"):  # options of the real CLI: --progress
                    if rest.pop(0) == "--":
                        break
                if rest:
                    return asyncio.run(_run(_home(), rest))
            case "version":
                from ci.engine.embedded import version

                sys.stdout.write(f"dagger-embedded {version()} (BuildKit)\n")
                return 0
            case "help" | "-h" | "--help":
                sys.stdout.write(USAGE)
                return 0
        raise InputError(
            "dagger-embedded",
            f"no such command: {' '.join(arguments) or '(none)'}",
            "dagger-embedded --help lists them",
        )
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


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


async def _session(home: Home) -> int:
    from ci.engine.embedded import session

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    async with session(home, dict(os.environ), _write) as server:
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


async def _run(home: Home, command: list[str]) -> int:
    from ci.engine.embedded import session

    loop = asyncio.get_running_loop()
    async with session(home, dict(os.environ), _write) as server:
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
        # Ctrl-C reaches the command from the terminal itself; other signals come to us only.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, child.send_signal, number)
        code = await child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
