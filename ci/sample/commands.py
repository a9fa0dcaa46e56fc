"""``sample ACTION``: each action takes settings and gives an exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from anyio import to_thread

from ci.cloud import Cloud, entered
from ci.daemons import replace_text
from ci.errors import InputError
from ci.home import Home
from ci.sample import accounting, records, redriving, rows, uploads, watching, work
from ci.sample.accounting import Account
from ci.sample.lake import DATASET, Lake, find
from ci.settings import Settings


def load(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``sample load``: puts the records of ``sample_data/`` into the tables, and prints the calls
    of the AWS CLI that would do the same."""
    found = records.read(settings.source / "sample_data")
    lake = _lake(settings, home)
    for record in found:
        print(records.call(record, lake.table(record.table)), file=out)
        loaded = records.load(lake, record)
        told = "loaded" if loaded else "was there already, and stays as it is"
        print(f"{lake.table(record.table)}: {record.name} {told}", file=err)
    return 0


def upload(
    settings: Settings,
    environ: Mapping[str, str],
    home: Home,
    out: IO[str],
    err: IO[str],
    *,
    data: Path | None = None,
    dataset: str = DATASET,
) -> int:
    """``sample upload``: the files of a directory into the central bucket."""
    directory = data or settings.source / "sample_data" / "meteorites"
    folder = uploads.folder(dataset)
    paths = uploads.files(directory)
    lake = _lake(settings, home)
    keys = uploads.upload(lake, directory, paths, dataset)
    print(f"{len(keys)} objects are in s3://{lake.central}/{folder}", file=out)
    return 0


def watch(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``sample watch``: objects on their way, until nothing moves any more. Locally the functions
    run as long as this does."""
    lake = _lake(settings, home)

    async def show() -> None:
        async with work.going_on(lake.cloud, settings, home, environ, _say(err)) as host:
            with watching.view(out) as view:
                await watching.until_still(lake, host, view)

    return _run(show)


def account(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``sample account``: where every object of the central bucket has come to. 1 where one is
    unaccounted for."""
    return tell_account(accounting.take(_lake(settings, home)), settings, out)


def query(
    settings: Settings,
    environ: Mapping[str, str],
    home: Home,
    out: IO[str],
    err: IO[str],
    *,
    dataset: str = DATASET,
) -> int:
    """``sample query``: the rows in the dataset's Parquet files."""
    uploads.folder(dataset)
    found = list(rows.read(_lake(settings, home), dataset))
    if settings.json:
        json.dump(found, out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(rows.text(found))
    return 0


def redrive(
    settings: Settings,
    environ: Mapping[str, str],
    home: Home,
    out: IO[str],
    err: IO[str],
    *,
    dataset: str = DATASET,
) -> int:
    """``sample redrive``: dead letters back into their queues, by the functions of the lake."""
    uploads.folder(dataset)
    lake = _lake(settings, home)

    async def again() -> None:
        async with work.going_on(lake.cloud, settings, home, environ, _say(err)) as host:
            moved = await to_thread.run_sync(redriving.redrive, lake, dataset)
            print(redriving.text(moved), file=out)
            with watching.view(out) as view:
                await watching.until_still(lake, host, view)

    return _run(again)


def walk(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``sample walk``: the whole walk-through, with an error on purpose. Only locally."""
    from ci.sample.walk import Walk

    if not settings.on_this_machine:
        what = "breaks a function on purpose, so it is for the local cloud only"
        fix = "use load, upload, watch, query, account and redrive by themselves"
        raise InputError("sample walk", what, fix)
    lake = _lake(settings, home)
    walked = Walk(lake, settings, out)

    async def go() -> None:
        async with work.going_on(lake.cloud, settings, home, environ, _say(err)) as host:
            await walked.go(host)

    return _run(go) or (0 if walked.good else 1)


def tell_account(found: Account, settings: Settings, out: IO[str]) -> int:
    """Prints an account and keeps it as ``account.json`` in the report's directory."""
    document = json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n"
    out.write(document if settings.json else accounting.text(found) + "\n")
    with suppress(OSError):
        settings.report.mkdir(parents=True, exist_ok=True)
        replace_text(settings.report / "account.json", document)
    return 0 if found.proved else 1


def _lake(settings: Settings, home: Home) -> Lake:
    return find(_cloud(settings, home), settings.prefix)


def _cloud(settings: Settings, home: Home) -> Cloud:
    """Where the lake is. Raises InputError where no local cloud runs."""
    if not settings.on_this_machine or settings.endpoint:
        return entered(settings)
    from dataclasses import replace

    from ci.local.aws_apis import daemon

    if not (local := daemon.status(home)):
        what = "does not run, so no data lake is in it"
        raise InputError("local cloud", what, "deploy into it first: python ci/main.py rehearse")
    return entered(replace(settings, endpoint=local.endpoint))


def _say(stream: IO[str]) -> Callable[[str], None]:
    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    return say


def _run(going: Callable[[], object]) -> int:
    from ci.interrupts import Interrupted, running

    try:
        running(going)  # type: ignore[arg-type]
    except Interrupted:
        return 130
    return 0
