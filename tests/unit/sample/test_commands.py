"""The actions of ``sample`` as far as no function has to run for them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from ci import settings
from ci.errors import InputError, PipelineError
from ci.home import Home
from ci.sample import commands, proof, rows, tally, uploads, watching

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(lab, monkeypatch, tmp_path):
    """Runs an action on the lab's lake: exit code, what it printed, what it said."""
    chosen = settings.parse(["plan", "--source", str(ROOT), "--report", str(tmp_path / "out")], {})
    monkeypatch.setattr(commands, "_lake", lambda _settings, _home: lab.lake)

    def call(action, *, options=None, **arguments):
        out, err = io.StringIO(), io.StringIO()
        given = replace(chosen, **(options or {}))
        code = getattr(commands, action)(given, {}, Home(tmp_path), out, err, **arguments)
        return code, out.getvalue(), err.getvalue()

    return call


def test_load_puts_three_records_and_prints_their_calls(run, lab):
    code, out, err = run("load")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[4] for line in lines] == [
        "octagon-Pipelines-dev", "octagon-Pipelines-dev", "octagon-Datasets-dev"
    ]  # fmt: skip
    assert all(line.startswith("aws dynamodb put-item --table-name ") for line in lines)
    assert err.count(" loaded\n") == 3
    code, again, err = run("load")
    assert (code, again) == (0, out)
    assert err.count("was there already") == 3
    assert len(lab.client("dynamodb").scan(TableName="octagon-Pipelines-dev")["Items"]) == 2


def test_upload_takes_the_sample_unless_told_otherwise(run, lab):
    code, out, _ = run("upload")
    assert (code, "14 objects are in s3://central/engineering/meteorites/" in out) == (0, True)
    keys = lab.lake.keys("central")
    assert "engineering/meteorites/malformed.json" in keys
    assert len(keys) == 14


def test_upload_keeps_names_of_any_kind_and_folders(run, lab, tmp_path):
    names = ["a b.json", "a+b.json", "ä/日本.json", "x%20y", "no ending"]
    for name in [*names, ".hidden", ".git/config"]:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    code, _, _ = run("upload", data=tmp_path / "data", dataset="team/set")
    assert code == 0
    assert sorted(lab.lake.keys("central")) == sorted(f"team/set/{name}" for name in names)
    body = lab.client("s3").get_object(Bucket="central", Key="team/set/a+b.json")["Body"].read()
    assert body == b"a+b.json"


@pytest.mark.parametrize("dataset", ["", "x", "a/b/c", "/b", "a/", "a b/c"])
def test_a_dataset_that_is_none_is_refused_before_anything_happens(run, lab, dataset):
    with pytest.raises(InputError, match="is not TEAM/DATASET"):
        run("upload", dataset=dataset)
    assert lab.lake.keys("central") == []


def test_a_directory_that_is_none_or_empty_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="is no directory"):
        run("upload", data=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file"):
        run("upload", data=tmp_path / "empty")


def test_account_is_printed_kept_and_its_exit_code_is_the_proof(run, lab, tmp_path):
    lab.converted("a")
    code, out, _ = run("account")
    assert code == 0
    assert "✓ engineering/meteorites/a.json converted: e.parquet" in out
    lab.put("engineering/meteorites/lost.json")
    code, out, _ = run("account")
    assert code == 1
    assert "? engineering/meteorites/lost.json unaccounted for: " in out
    document = json.loads((tmp_path / "out/account.json").read_text())
    assert (document["uploaded"], document["unaccounted for"]) == (2, 1)
    code, out, _ = run("account", options={"json": True})
    assert (code, json.loads(out)) == (1, document)


def parquet(lab, name, *rows_):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows_)), stream)
    lab.put(f"post-stage/engineering/meteorites/{name}.parquet", "stage", stream.getvalue())


def test_query_shows_the_rows_of_all_files(run, lab):
    assert run("query")[1] == "no rows yet\n"
    parquet(lab, "a", {"id": 1, "name": "Ä", "lon": None})
    parquet(lab, "b", {"id": 2, "name": "B", "lon": 1.5})
    code, out, _ = run("query")
    assert code == 0
    assert "Ä" in out
    assert "2 of 2 rows" in out
    _, out, _ = run("query", options={"json": True})
    assert json.loads(out) == [
        {"id": 1, "name": "Ä", "lon": None},
        {"id": 2, "name": "B", "lon": 1.5},
    ]


def test_a_file_that_is_no_parquet_is_named(run, lab):
    lab.put("post-stage/engineering/meteorites/x.parquet", "stage", b"no")
    with pytest.raises(PipelineError, match=r"meteorites/x\.parquet: is no Parquet file"):
        run("query")


def test_query_without_pyarrow_says_what_to_do(lab, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(PipelineError, match="pip install pyarrow"):
        list(rows.read(lab.lake, "engineering/meteorites"))


def test_walk_is_for_the_local_cloud_only(run):
    with pytest.raises(InputError, match="is for the local cloud only"):
        run("walk", options={"target": "aws"})


def test_without_a_local_cloud_a_command_says_how_to_get_one(tmp_path):
    chosen = settings.parse(["plan"], {})
    with pytest.raises(InputError, match="local cloud: does not run"):
        commands.account(chosen, {}, Home(tmp_path), io.StringIO(), io.StringIO())


def test_a_tally_counts_every_place(lab):
    lab.converted("a")
    url = lab.put("engineering/meteorites/b.json")
    lab.record(url, "FAILED", error="no")
    lab.send("routing", {})
    lab.send("routing-dlq", {})
    lab.start("e", {})
    found = tally.take(lab.lake)
    assert found.line() == (
        "raw 2  pre-stage 1  in Parquet 1  Parquet files 1  failed 1  queued 1  running 1"
    )


def test_away_from_a_terminal_a_tally_is_a_line_for_every_change(lab):
    out = io.StringIO()
    first = tally.take(lab.lake)
    with watching.view(out) as view:
        for seconds, shown in enumerate((first, first, replace(first, raw=1), first)):
            view.show(shown, float(seconds))
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["0.0", "2.0", "3.0"]


def test_on_a_terminal_a_tally_is_a_table(lab):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    with watching.view(out) as view:
        view.show(replace(tally.take(lab.lake), raw=4711), 1.0)
    assert "4711" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_rows_are_compared_one_by_one(tmp_path):
    record = {"id": "1", "name": "n", "recclass": "c", "reclong": "6.083330", "reclat": ""}
    paths = []
    for number in (1, 2):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps({**record, "id": str(number)}))
    good = [{"id": n, "name": "n", "cls": "c", "lon": 6.08333, "lat": None} for n in (2, 1)]
    others = {**good[0], "id": 3}
    assert proof.differences([*good, others], paths) == []
    assert "1 times missing" in proof.differences(good[:1], paths)[0]
    assert "1 times too often" in proof.differences([*good, good[0]], paths)[0]
    wrong = proof.differences([good[0], {**good[1], "lat": 0.0}], paths)
    assert len(wrong) == 2


def test_files_are_uploaded_side_by_side_and_a_refusal_is_told(lab, tmp_path):
    (tmp_path / "a").write_text("x")
    lake = replace(lab.lake, central="no-such-bucket")
    with pytest.raises(PipelineError, match="NoSuchBucket"):
        uploads.upload(lake, tmp_path, [tmp_path / "a"], "t/d")
