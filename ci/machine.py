"""Prepares this machine for the pipeline, and stops what outlives a run.

``python -m ci.machine setup`` installs what is missing into the home; ``stop`` ends the embedded
engine, the local cloud and its registry. A program of its own, called by the Makefile.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping

from ci.engine.buildkit import daemon
from ci.engine.buildkit import install as engine
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.local import registry, standin
from ci.local.aws_apis import daemon as aws_apis
from ci.local.lambdas import observer


def setup(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Installs what is missing, and says so; says and does nothing where nothing is.

    Raises ``InputError`` naming a prerequisite that it cannot install.
    """
    parts = (engine, registry, standin, observer)
    tools = [tool for part in parts for tool in part.missing(home)]
    if not tools:
        return
    say(f"set-up: {', '.join(tool.name for tool in tools)} into {home.root} (once)")
    for part in parts:
        try:
            part.install(home, environ, say)
        except InputError as error:
            if part is not engine or not shutil.which("dagger", path=environ.get("PATH")):
                raise
            say(f"{error}\n  set-up goes on without the embedded engine: there is a dagger on PATH")
    say("set-up: done")


def stop(home: Home, say: Callable[[str], None]) -> None:
    """Ends the daemons of this home; what they have on disk stays."""
    parts = (("embedded engine", daemon), ("local cloud", aws_apis), ("local registry", registry))
    for name, part in parts:
        say(f"{name}: {'stopped' if part.stop(home) else 'was not running'}")


def main() -> int:
    """Exit code 0, 1 or 2 as everywhere; 130 on Ctrl-C."""
    home = Home.from_environ(os.environ)

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        match sys.argv[1:]:
            case ["setup"]:
                setup(home, os.environ, say)
            case ["stop"]:
                stop(home, say)
            case _:
                raise InputError("ci.machine", "does two things", "say `setup` or `stop`")
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
