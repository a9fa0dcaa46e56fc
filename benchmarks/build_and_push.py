"""Builds and pushes the same functions with this pipeline and with its peers, and times them.

Every contender takes its turn in every round: with an empty engine cache and an empty registry,
again with nothing changed, and once more with one function changed. Times are of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import contenders, figures, lab, machine, tree
from benchmarks.contenders import Build, Contender
from benchmarks.engines import Unavailable
from benchmarks.processes import Failed, timed
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.local import standin

RUN_SECONDS = 300.0


class Benchmark:
    """The rounds, and what came of them."""

    def __init__(self, place: lab.Lab, logs: Path) -> None:
        self.lab, self.logs = place, logs
        self.seconds: dict[str, dict[str, list[float]]] = {}
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.failed = False
        self.builds = 0

    def prepare(self, everybody: Sequence[Contender]) -> list[Contender]:
        """Those that can be measured here; why the others cannot is remembered."""
        able = []
        said: dict[object, str | Unavailable] = {}
        for contender in everybody:
            try:
                if contender.engine not in said:
                    said[contender.engine] = _version_or_reason(contender)
                engine = said[contender.engine]
                if isinstance(engine, Unavailable):
                    raise engine
                used = [engine, contender.install()]
            except Unavailable as reason:
                self.left_out[contender.name] = str(reason)
                say(f"{contender.name}: left out: {reason}")
            else:
                self.versions[contender.name] = ", ".join(filter(None, used))
                able.append(contender)
        self.lab.stop_engine()
        return able

    def turn(self, contender: Contender) -> None:
        """One contender's three runs. Raises Failed, WrongResult, Unavailable."""
        emptied = contender.engine.empty()
        self.lab.empty_registry()
        try:
            before = self.run(contender, figures.COLD, count=emptied)
            again = self.run(contender, figures.AGAIN)
            if again != before:
                raise lab.WrongResult("other images, though nothing changed")
            changed = self.lab.functions[self.builds % len(self.lab.functions)]
            tree.change(self.lab.source, changed, self.builds)
            after = self.run(contender, figures.CHANGED)
            different = [name for name in after if after[name] != again[name]]
            if different != [changed]:
                raise lab.WrongResult(f"{changed} changed, and the images of {different} did")
        finally:
            contender.engine.rest()

    def run(self, contender: Contender, situation: str, *, count: bool = True) -> dict[str, str]:
        """One timed run; the digests that it left in the registry."""
        self.builds += 1
        build = Build(self.builds)
        command = contender.command(build)
        log = self.logs / f"{contender.name}.{situation.replace(' ', '-')}.{self.builds}.log"
        os.sync()  # or this run waits for the disk on behalf of the one before
        seconds = timed(command, log, RUN_SECONDS)
        digests = self.lab.digests(contender.tags(build))
        contender.engine.between(contender.tags(build))
        if count:
            situations = self.seconds.setdefault(contender.name, {})
            situations.setdefault(situation, []).append(round(seconds, 3))
        say(f"{contender.name}, {situation}: {seconds:.2f} s" + ("" if count else " (not counted)"))
        return digests

    def rounds(self, able: list[Contender], count: int, limit: float) -> int:
        """Up to ``count`` rounds, as many as fit into ``limit`` seconds; how many there were."""
        begun = time.monotonic()
        for number in range(1, count + 1):
            left = limit - (time.monotonic() - begun)
            if number > 1 and left < (limit - left) / (number - 1):
                say(f"no time for round {number}")
                return number - 1
            say(f"round {number} of {count}")
            for contender in list(able):
                try:
                    self.turn(contender)
                except (Failed, lab.WrongResult, PipelineError, Unavailable) as problem:
                    able.remove(contender)
                    self.failed = True
                    self.seconds.pop(contender.name, None)
                    self.left_out[contender.name] = f"failed: {problem}"
                    say(f"{contender.name} failed: {problem}")
        return count


def main() -> int:
    """0 measured; 1 a contender failed; 2 wrong usage or set-up lacks."""
    options = _options()
    if options.show:
        print(told(json.loads(options.show.read_text()), markdown=options.markdown))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tools = Home.from_environ(os.environ)
    described = machine.describe()  # before we are what keeps it busy
    try:
        with (
            lab.opened(tools, options.functions, options.upstream) as place,
            _logs(options.logs, place) as logs,
        ):
            benchmark = Benchmark(place, logs)
            everybody = contenders.everybody(place, say, may_prune=options.prune_dagger)
            chosen = _chosen(everybody, options.only)
            able = benchmark.prepare(chosen)
            result = _header(options.functions, place, described)
            result["rounds"] = benchmark.rounds(able, options.rounds, options.minutes * 60)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    result["references"] = {one.name: one.reference for one in chosen}
    result["versions"] = benchmark.versions
    result["seconds"] = benchmark.seconds
    result["left_out"] = benchmark.left_out
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(told(result, markdown=options.markdown))
    say(f"all figures: {options.json}")
    return int(benchmark.failed)


def told(result: dict[str, Any], *, markdown: bool) -> str:
    """The result as a text to read."""
    table = figures.rows(result["seconds"], result["references"])
    lines = [
        f"{result['functions']} functions, base image {result['base_mb']} MB compressed, "
        f"{result['rounds']} rounds, {result['date'][:10]}.",
        f"{machine.sentence(result['machine'])}.",
        "Seconds: median (fastest-slowest), and the ratio of the medians.",
    ]
    if warning := machine.warning(result["machine"]):
        lines.append(f"NOTE: {warning}.")
    lines += ["", figures.as_markdown(table) if markdown else figures.as_text(table), ""]
    bullet = "- " if markdown else "  "
    lines += [f"{bullet}{name}: {what}" for name, what in result["versions"].items()]
    for name, reason in result["left_out"].items():
        said = reason.strip().splitlines()
        lines.append(
            f"{bullet}{name}: not measured ({' … '.join(dict.fromkeys(said[:1] + said[-1:]))})"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress, on standard error: standard output is the result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _chosen(everybody: Sequence[Contender], only: Sequence[str] | None) -> list[Contender]:
    names = [one.name for one in everybody]
    if unknown := [name for name in only or () if name not in names]:
        raise InputError(f"--only {' '.join(unknown)}", "no such contender", ", ".join(names))
    return [one for one in everybody if not only or one.name in only]


def _version_or_reason(contender: Contender) -> str | Unavailable:
    try:
        return contender.engine.prepare()
    except Unavailable as reason:
        return reason


def _header(functions: int, place: lab.Lab, described: dict[str, object]) -> dict[str, Any]:
    megabytes = lab.compressed_megabytes(place.upstream, standin.REPOSITORY, standin.TAG)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "functions": functions,
        "base_mb": round(megabytes),
        "machine": described,
    }


@contextmanager
def _logs(wanted: Path | None, place: lab.Lab) -> Iterator[Path]:
    """Where the output of every run goes: into the lab, and away with it, unless named."""
    logs = wanted or place.root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    yield logs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--functions", type=int, default=20, metavar="N", help="how many (20)")
    option("--rounds", type=int, default=3, metavar="N", help="turns of each contender (3)")
    option("--minutes", type=float, default=45, help="no new round that would end later (45)")
    option("--only", nargs="+", metavar="NAME", help="only these contenders")
    option(
        "--prune-dagger",
        action="store_true",
        help="empty the cache of the Dagger engine on PATH; else its cold runs do not count",
    )
    option(
        "--upstream",
        default="",
        metavar="HOST:PORT",
        help="a registry here that serves the base image already (one of its own)",
    )
    option(
        "--json",
        type=Path,
        default=Path("out/benchmark.json"),
        metavar="FILE",
        help="where all figures go (out/benchmark.json)",
    )
    option("--markdown", action="store_true", help="print the table as Markdown")
    option("--show", type=Path, metavar="FILE", help="measure nothing, print this --json file")
    option("--logs", type=Path, metavar="DIR", help="keep all output here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
