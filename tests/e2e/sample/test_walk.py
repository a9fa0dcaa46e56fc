"""The sample's commands as their user runs them: processes of their own, with functions in them."""

import json
import signal
import subprocess
import time

import httpx
import pytest
from anyio import to_thread
from kit.pipeline import begin, processes_with, run

from ci.sample import accounting

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
async def options(at_work):
    """Options of the lake of these tests. Its own host is back at work afterwards."""
    lake = at_work.lake
    yield ["--prefix", lake.environment, "--endpoint-url", lake.cloud.endpoint]
    api = f"http://127.0.0.1:{lake.cloud.port}/_local/function-host"
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.put(api, json={"url": at_work.host.url})


async def test_the_walk_through_breaks_mends_and_saves(at_work, options, tmp_path):
    done = await to_thread.run_sync(run, tmp_path, "sample", "walk", *options)
    assert done.code == 0, done.out + done.err
    story = done.out.split("\n── ")
    assert [part.split("\n")[0].partition(":")[0] for part in story[1:]] == [
        "load the records",
        "upload the sample's files, and see them move",
        "query the Parquet",
        "break a function",
        "mend it",
        "and then",
    ]
    assert " rows" in story[3]
    assert "malformed.json failed: DataError" in story[3]
    assert "tagish-lake.json failed: octagon-Datasets-" in story[4]
    assert "tagish-lake.json failed" not in story[5]
    account = await at_work.account()
    assert account["engineering/meteorites/tagish-lake.json"].kind == "converted"
    assert account["engineering/meteorites/canyon-diablo.json"].kind == "converted"
    assert "python ci/main.py rollback" in story[6]
    names = [row["name"] for row in await at_work.rows()]
    assert names.count("Tagish Lake") == 1
    assert list((tmp_path / "lambda").glob("*/*.log"))


async def test_what_is_uploaded_moves_while_somebody_watches(at_work, options, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ä +.json").write_text('{"id": 9000, "name": "n", "recclass": "c"}')
    data = ["--data", str(tmp_path / "data")]
    done = await to_thread.run_sync(run, tmp_path, "sample", "upload", *data, *options)
    assert (done.code, "1 objects are in s3://" in done.out) == (0, True), done.err
    watched = await to_thread.run_sync(run, tmp_path, "sample", "watch", *options)
    assert watched.code == 0, watched.err
    assert "queued 0  running 0" in watched.out.splitlines()[-1]
    told = await to_thread.run_sync(run, tmp_path, "sample", "account", *options)
    assert told.code == 0
    objects = json.loads((tmp_path / "account.json").read_text())["objects"]
    [ours] = [each for each in objects if each["key"] == "engineering/meteorites/ä +.json"]
    assert ours["is"] == "converted"


async def test_what_failed_is_redriven(at_work, options, tmp_path):
    await at_work.bury()
    await at_work.put("engineering/meteorites/again.json", b"{")
    await at_work.still()
    done = await to_thread.run_sync(run, tmp_path, "sample", "redrive", *options)
    assert done.code == 0, done.err
    assert "stage-a-redrive: 1 moved back" in done.out
    assert (await at_work.account())["engineering/meteorites/again.json"].kind == "failed"


async def test_ctrl_c_ends_a_watch_and_all_that_it_runs(at_work, options, tmp_path):
    mark = {"WATCH_MARK": str(time.monotonic())}
    for number in range(20):
        await at_work.put(
            f"engineering/meteorites/c/{number}.json",
            {"id": str(9100 + number), "name": "n", "recclass": "c"},
        )
    with begin(tmp_path, "sample", "watch", *options, **mark) as process:
        try:
            await to_thread.run_sync(process.stdout.readline)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            code = await to_thread.run_sync(lambda: process.wait(10))
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 130
    assert time.monotonic() - began < 6
    assert processes_with(mark) == []


async def test_what_a_watch_left_undone_is_done_by_the_next_host_or_accounted_for(at_work):
    """A batch whose job the ended host had begun is in work until its state machine gives up."""

    def done():
        found = accounting.take(at_work.lake, "engineering/meteorites/c/")
        assert found.proved, accounting.text(found)
        waiting = [e for e in found.entries if e.kind != "converted"]
        return all((e.kind, e.detail) == ("in work", "stage b") for e in waiting)

    await at_work.until(done, 120)
    assert len(accounting.take(at_work.lake, "engineering/meteorites/c/").entries) == 20
