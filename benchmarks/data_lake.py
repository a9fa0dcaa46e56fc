"""How fast the sample data lake converts files on this machine, and what that takes.

Deploys the lake into a local cloud of its own, uploads generated meteorites, and times them from
the first upload until each is a row in Parquet, the functions running as containers. First a few
files, for the start of all functions; then many. Every object has to be accounted for as converted,
every row to be what its JSON said.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import machine
from ci.aws import Credentials
from ci.cloud import Cloud
from ci.daemons import Process
from ci.errors import PipelineError
from ci.home import Home
from ci.local import registry
from ci.local.aws_apis import daemon
from ci.local.functions import ACCOUNT
from ci.local.lambdas.host import Host
from ci.sample import accounting, proof, records, rows, uploads, work
from ci.sample.accounting import CONVERTED
from ci.sample.lake import DATASET, Lake, find

ROOT = Path(__file__).resolve().parent.parent
PREFIX, BUCKET, REGION = "benchmark", "benchmark-artifacts", "us-east-1"
FIRST = 83  # as many as the public sample has
LONGEST = 3600.0
HOST_LIMIT_MB = 400


@dataclass(frozen=True)
class Figures:
    """Of one round: seconds until all were uploaded, and until all were in Parquet; megabytes that
    the processes took at most until then."""

    files: int
    upload_seconds: float
    seconds: float
    host_mb: int
    cloud_mb: int

    def as_json(self) -> dict[str, Any]:
        rate = round(self.files / self.seconds, 2)
        return {**vars(self), "files_per_second": rate}


def generate(directory: Path, count: int, seed: int) -> list[Path]:
    """Files of one meteorite each; the same for the same seed."""
    dice = random.Random(seed)
    directory.mkdir(parents=True)
    paths = []
    for number in range(count):
        position = {
            "reclat": f"{dice.uniform(-90, 90):.6f}",
            "reclong": f"{dice.uniform(-180, 180):.6f}",
        }
        record = {
            "name": f'Generated {seed} {number}, "{dice.randrange(10**6)}"',
            "id": str(seed * 10**6 + number),
            "nametype": "Valid",
            "recclass": dice.choice(["L5", "H6", "Iron, IVB", "CM2"]),
            **({"mass": str(dice.randrange(1, 10**6))} if dice.random() < 0.9 else {}),
            **(position if dice.random() < 0.9 else {}),
        }
        path = directory / f"generated-{seed}-{number:06}.json"
        path.write_text(json.dumps(record))
        paths.append(path)
    return paths


def deploy(port: int, results: Path) -> None:
    """Builds and deploys the lake with the pipeline's own commands."""
    options = ["--prefix", PREFIX, "--endpoint-url", f"http://localhost:{port}"]
    options += ["--bucket", BUCKET, "--report", str(results), "--source", str(ROOT)]
    for command in ("layer", "app", "deploy"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "ci/main.py"), command, *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
        say(f"{command}: done")


async def measure(lake: Lake, host: Host, paths: list[Path], daemon_pid: int) -> Figures:
    """One round. Raises PipelineError where an object is lost or a row wrong."""
    began = time.monotonic()
    keys = uploads.upload(lake, paths[0].parent, paths, DATASET)
    uploaded = time.monotonic() - began
    say(f"{len(paths)} files uploaded after {uploaded:.1f} s")
    if not await host.drained(LONGEST):
        raise PipelineError("benchmark", f"not done after {LONGEST:.0f} s", "see the logs")
    seconds = time.monotonic() - began
    account = {entry.key: entry for entry in accounting.take(lake).entries}
    lost = [key for key in keys if account[key].kind != CONVERTED]
    wrong = proof.differences(rows.read(lake, DATASET), paths)
    if lost or wrong:
        what = f"{len(lost)} objects not converted, {len(wrong)} rows wrong: {[*lost, *wrong][:3]}"
        raise PipelineError("benchmark", what, "see the functions' logs")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures = Figures(len(paths), round(uploaded, 1), round(seconds, 1), peak, _peak_mb(daemon_pid))
    say(json.dumps(figures.as_json()))
    return figures


async def run(
    arguments: argparse.Namespace, environ: Mapping[str, str], room: Path
) -> list[Figures]:
    import dagger

    from ci.building.session_reach import reaching_session
    from ci.engine.buildkit.daemon_config import DaemonConfig

    home = Home.from_environ(environ)
    images = registry.ensure(home, environ).host
    own = Home(room / "home")
    local = daemon.ensure(own, environ, registry_host=images)
    try:
        cloud = Cloud(ACCOUNT, REGION, "", Credentials("local", "local"), local.port)
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        deploy(local.port, room / "out")
        lake = find(cloud, PREFIX)
        for record in records.read(ROOT / "sample_data"):
            records.load(lake, record)
        process = Process.read(own.local / "aws-apis" / "pid")
        assert process
        async with (
            reaching_session(
                arguments.engine, home, environ, None, DaemonConfig(), pushes=images, mirror=None
            ),
            dagger.connection(),
            work.here(cloud, images, home, environ, room / "out", say) as host,
        ):
            return [
                await measure(
                    lake, host, generate(room / f"files-{seed}", count, seed), process.pid
                )
                for seed, count in enumerate((FIRST, arguments.files), start=1)
            ]
    finally:
        daemon.stop(own)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _peak_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=2000, help="files of the second round (2000)")
    parser.add_argument("--engine", default="auto", help="auto, dagger or embedded")
    arguments = parser.parse_args()
    import anyio

    about = machine.describe()
    if warning := machine.warning(about):
        say(warning)
    with tempfile.TemporaryDirectory() as directory:
        try:
            found = anyio.run(run, arguments, os.environ, Path(directory))
        except PipelineError as error:
            say(str(error))
            return 1
    print(json.dumps({"machine": about, "rounds": [each.as_json() for each in found]}, indent=2))
    print(machine.sentence(about))
    if found[-1].host_mb > HOST_LIMIT_MB:
        say(f"the function host took {found[-1].host_mb} MB, more than {HOST_LIMIT_MB}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
