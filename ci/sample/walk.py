"""The walk-through: data through the lake, a function broken, its messages saved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from anyio import CancelScope, to_thread

from ci.sample import accounting, records, redriving, rows, uploads, watching
from ci.sample.accounting import FAILED, Account
from ci.sample.lake import DATASET, Lake
from ci.sample.records import Record
from ci.sample.watching import Busy
from ci.settings import Settings

LATER = "tagish-lake.json"
"""Uploaded while the function is broken."""
AFTERWARDS = """\
roll back the last deployment:  python ci/main.py rollback
clean up:                       python ci/main.py destroy
end the local cloud:            make stop"""


class Walk:
    """One walk-through. ``good`` once every object came to where it should."""

    def __init__(self, lake: Lake, settings: Settings, out: IO[str]) -> None:
        self._lake, self._settings, self._out = lake, settings, out
        self._data = settings.source / "sample_data"
        self.good = False

    async def go(self, host: Busy | None) -> None:
        """Raises InputError for sample data that is not there, PipelineError."""
        found = records.read(self._data)
        [dataset] = [each for each in found if each.table == "Datasets"][:1]
        self._title("load the records")
        for record in found:
            await to_thread.run_sync(records.load, self._lake, record)
            self._say(f"{self._lake.table(record.table)}: {record.name}")
        self._title("upload the sample's files, and see them move")
        directory = self._data / "meteorites"
        paths = uploads.files(directory)
        await to_thread.run_sync(uploads.upload, self._lake, directory, paths, DATASET)
        await self._watch(host)
        self._title("query the Parquet")
        read = await to_thread.run_sync(lambda: list(rows.read(self._lake, DATASET)))
        self._out.write(rows.text(read))
        await self._account()
        self._title(f"break a function: routing-lambda finds no dataset {dataset.name}")
        async with self._without(dataset):
            await to_thread.run_sync(self._upload_later)
            await self._watch(host)
            await self._account(LATER)
        self._title("mend it: load the record again, then redrive")
        moved = await to_thread.run_sync(redriving.redrive, self._lake, DATASET)
        self._say(redriving.text(moved))
        await self._watch(host)
        account = await self._account()
        self.good = account.proved and not any(
            entry.key.endswith(LATER) for entry in account.of(FAILED)
        )
        self._title("and then")
        self._say(AFTERWARDS)

    @asynccontextmanager
    async def _without(self, record: Record) -> AsyncIterator[None]:
        """A record is missing inside, and comes back whatever happens."""
        await to_thread.run_sync(records.drop, self._lake, record)
        try:
            yield
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(records.load, self._lake, record)

    def _upload_later(self) -> None:
        directory = self._data / "later"
        uploads.upload(self._lake, directory, [directory / LATER], DATASET)

    async def _watch(self, host: Busy | None) -> None:
        with watching.view(self._out) as view:
            await watching.until_still(self._lake, host, view)

    async def _account(self, name: str = "") -> Account:
        """The account, of which only the object ``name`` is told where one is given."""
        found = await to_thread.run_sync(accounting.take, self._lake)
        if name:
            entries = tuple(entry for entry in found.entries if entry.key.endswith(name))
            self._say(accounting.text(Account(found.bucket, entries)))
        else:
            self._say(accounting.text(found))
        return found

    def _title(self, text: str) -> None:
        self._say(f"\n── {text}")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)
