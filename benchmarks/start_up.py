"""How long the pipeline takes to answer when there is nothing to build, as a whole process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import lab, machine
from benchmarks.contenders import HERE
from benchmarks.figures import Series
from benchmarks.processes import Command, Failed, timed
from ci.errors import PipelineError
from ci.home import Home

LIMIT = 0.5
"""Seconds, for all that starts nothing."""


def main() -> int:
    """0 within the limits; 1 not; 2 set-up lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="of each (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options = parser.parse_args()
    found = machine.describe()
    print(f"{machine.sentence(found)}.", flush=True)
    if warning := machine.warning(found):
        print(f"NOTE: {warning}.", flush=True)
    seconds: dict[str, list[float]] = {}
    try:
        with lab.opened(Home.from_environ(os.environ), 20) as place:
            kinds = _kinds(place)
            for _ in range(options.runs + 1):
                for name, (command, code, _limit) in kinds.items():
                    took = timed(command, place.root / "log", 60, code)
                    seconds.setdefault(name, []).append(round(took, 3))
    except (PipelineError, Failed) as problem:
        print(problem, file=sys.stderr)
        return 2
    slow = False
    for name, (_command, _code, limit) in kinds.items():
        series = Series(tuple(seconds[name][1:]))  # the first one reads programs from the disk
        print(f"{name:50} {series} s" + (f"  (limit {limit})" if limit else ""))
        slow |= bool(limit) and series.median > limit
    if options.json:
        figures = {"machine": found, "seconds": {name: all_[1:] for name, all_ in seconds.items()}}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(slow)


def _kinds(place: lab.Lab) -> dict[str, tuple[Command, int, float]]:
    """What is started, the exit code that belongs to it, and how long it may take (0: any)."""
    home = {"PIPELINE_HOME": str(place.home.root)}
    pipeline = [sys.executable, str(HERE.parent / "ci" / "main.py")]

    def run(*arguments: str) -> Command:
        return Command([*pipeline, *arguments], home)

    def program(*arguments: str, cli: str = "") -> Command:
        return Command([sys.executable, *arguments], home | {"_EXPERIMENTAL_DAGGER_CLI_BIN": cli})

    source = f"--source={place.source}"
    return {
        "--help": (run("--help"), 0, LIMIT),
        "plan, 20 functions": (run("plan", source, "--commit=1234567"), 0, LIMIT),
        "exit 2: a misspelt option": (run("app", "--sorce=x"), 2, LIMIT),
        "exit 2: --only with an unknown name": (run("app", source, "--only=nobody"), 2, LIMIT),
        "exit 2: no such tree": (run("app", f"--source={place.root}/nothing"), 2, LIMIT),
        "import dagger": (program("-c", "import dagger"), 0, 0),
        "SDK hello on the embedded engine, daemon running": (
            program(str(HERE / "sdk.py"), "--hello", cli=str(place.cli)), 0, 0,
        ),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
