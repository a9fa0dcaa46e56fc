"""The end of a rehearsal: the sample's files through the functions that it has deployed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from anyio import to_thread

from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.home import Home
from ci.sample import accounting, proof, records, rows, uploads, watching, work
from ci.sample.accounting import CONVERTED, Account
from ci.sample.lake import DATASET, find
from ci.settings import Settings


@dataclass(frozen=True)
class Rehearsed:
    """What came of it: where every object is, and how many of the sample's rows are in Parquet."""

    account: Account
    rows: int


async def tell(
    cloud: Cloud,
    images: str,
    environment: str,
    settings: Settings,
    home: Home,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    out: IO[str],
) -> Rehearsed:
    """Loads the records, uploads the files of ``sample_data/``, waits until nothing moves, and
    compares the rows with the JSON. In the current Dagger connection; ``images`` is the registry.

    Prints how far objects have come and the account of each. Raises InputError for sample data
    that is not there, PipelineError where an object is unaccounted for or a row is not right.
    """
    data = settings.source / "sample_data"
    found = records.read(data)
    directory = data / "meteorites"
    paths = uploads.files(directory)
    lake = await to_thread.run_sync(find, cloud, environment)
    # Logs of the rehearsal before go; there is one at a time.
    shutil.rmtree(settings.report / "lambda", ignore_errors=True)
    async with work.here(cloud, images, home, environ, settings.report, say) as host:
        for record in found:
            await to_thread.run_sync(records.load, lake, record)
        keys = await to_thread.run_sync(uploads.upload, lake, directory, paths, DATASET)
        say(f"{len(keys)} objects uploaded to s3://{lake.central}/{uploads.folder(DATASET)}")
        with watching.view(out) as view:
            await watching.until_still(lake, host, view)
    account = await to_thread.run_sync(accounting.take, lake)
    print(accounting.text(account), file=out, flush=True)
    if not account.proved:
        what = f"{account.counts[accounting.UNACCOUNTED]} objects are unaccounted for"
        fix = f"see the functions' logs below {settings.report / 'lambda'}"
        raise PipelineError(f"data lake {environment}", what, fix)
    converted = {entry.key for entry in account.of(CONVERTED)}
    good = [path for path, key in zip(paths, keys, strict=True) if key in converted]
    read = await to_thread.run_sync(lambda: list(rows.read(lake, DATASET)))
    if wrong := proof.differences(read, good):
        what = "rows are not what the JSON said:" + "".join(f"\n    {each}" for each in wrong[:5])
        fix = "see datalake_library's transforms, and stage-b-process-data"
        raise PipelineError(f"s3://{lake.stage}/post-stage/{DATASET}/", what, fix)
    say(f"{len(good)} of {len(paths)} files are rows in Parquet, equal to their JSON")
    return Rehearsed(account, len(read))
