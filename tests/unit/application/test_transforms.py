import csv
import io
import json

import pyarrow.parquet
import pytest
from datalake_library import transforms
from datalake_library.errors import ConfigurationError, DataError
from datalake_library.transforms.stage_a_transforms import light_transform_blueprint as light
from datalake_library.transforms.stage_b_transforms import heavy_transform_blueprint as heavy

HOBA = {
    "id": "11890",
    "name": "Hoba",
    "recclass": "Iron, IVB",
    "reclong": "17.9",
    "reclat": "-19.5",
}


def to_csv(record, **changes):
    record = {**record, **changes} if isinstance(record, dict) else record
    return light.transform(json.dumps(record).encode(), "s3://central/x.json")


def rows(text: bytes):
    return list(csv.reader(io.StringIO(text.decode(), newline="")))


def test_the_csv_has_five_columns_and_quotes_what_needs_it():
    assert to_csv(HOBA) == (
        b'id,name,recclass,reclong,reclat\r\n11890,Hoba,"Iron, IVB",17.9,-19.5\r\n'
    )


@pytest.mark.parametrize(
    "name", ['say "x"', "a\nb", "a\rb", "a\r\nb", "Krähenberg", "💥", "=1+1", " x ", "NA", "null"]
)
def test_names_survive_csv_and_parquet(name):
    text = to_csv(HOBA, name=name)
    assert rows(text)[1][1] == name
    assert read(parquet(("a.csv", text)))[0]["name"] == name


def parquet(*parts, into=None):
    """The heavy transform of CSV files, pairs of a source and its content."""
    return heavy.merged({source: heavy.read(source, content) for source, content in parts}, into)


def read(parquet: bytes):
    return pyarrow.parquet.read_table(io.BytesIO(parquet)).to_pylist()


@pytest.mark.parametrize("unknown", [{}, {"reclong": None, "reclat": None}, {"reclong": ""}])
def test_an_unknown_position_is_an_empty_cell_and_then_null(unknown):
    record = {"id": "1", "name": "n", "recclass": "c", **unknown}
    text = to_csv(record)
    assert rows(text)[1] == ["1", "n", "c", "", ""]
    assert read(parquet(("a.csv", text))) == [
        {"id": 1, "name": "n", "cls": "c", "lon": None, "lat": None}
    ]


def test_numbers_keep_the_digits_that_they_have_in_the_json():
    text = light.transform(
        b'{"id": 7, "name": "n", "recclass": "c", "reclong": "6.083330", "reclat": 50.775000}', "x"
    )
    assert rows(text)[1] == ["7", "n", "c", "6.083330", "50.775000"]


def test_an_array_gives_a_row_for_each_record():
    assert [row[0] for row in rows(to_csv([HOBA, {**HOBA, "id": "2"}]))] == ["id", "11890", "2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not valid JSON"),
        (b'{"id": "1", "name":', "is not valid JSON"),
        (b"\xff\xfe\xfa", "is not valid JSON"),
        (b"[" * 200_000, "is nested too deeply"),
        (b"1", "holds str where an object is expected"),
        (b"[1.5]", "holds str where an object is expected"),
        (b"null", "holds NoneType where an object is expected"),
        (b"{}", "lacks id"),
        (b'{"id": "1", "recclass": "c"}', "lacks name"),
        (b'{"id": "1", "name": "", "recclass": "c"}', "lacks name"),
        (b'{"id": "1", "name": "n"}', "lacks recclass"),
        (b'{"id": "1x"}', "has id '1x', which is no integer of 64 bits"),
        (b'{"id": "1_0"}', "has id '1_0', which is no integer of 64 bits"),
        (b'{"id": 1.5}', "has id '1.5', which is no integer of 64 bits"),
        (b'{"id": true}', "has id 'True', which is no integer of 64 bits"),
        (b'{"id": "9223372036854775808"}', "which is no integer of 64 bits"),
        (b'{"id": "%s"}' % (b"9" * 10_000), "which is no integer of 64 bits"),
        (b'{"id": 1, "name": {"a": 1}}', "has name \"{'a': '1'}\", which is no text"),
        (b'{"id": 1, "name": "\\ud800", "recclass": "c"}', "surrogates not allowed"),
        (b'{"id": 1, "name": "n", "recclass": "c", "reclong": "east"}', "which is no number"),
        (b'{"id": 1, "name": "n", "recclass": "c", "reclong": NaN}', "which is no number"),
        (b'{"id": 1, "name": "n", "recclass": "c", "reclong": 1e999}', "which is no number"),
    ],
)
def test_what_cannot_be_converted_is_named_with_file_and_reason(content, reason):
    with pytest.raises(DataError) as raised:
        light.transform(content, "s3://central/engineering/meteorites/x.json")
    assert str(raised.value).startswith("s3://central/engineering/meteorites/x.json: ")
    assert reason in str(raised.value)


def test_parquet_has_the_declared_columns_and_the_rows_of_all_parts_by_source():
    ids = {"a.csv": 3, "b.csv": 1, "c.csv": 2**63 - 1}
    parts = [(source, to_csv(HOBA, id=str(ids[source]))) for source in ("c.csv", "a.csv", "b.csv")]
    table = pyarrow.parquet.read_table(io.BytesIO(parquet(*parts)))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "int64"),
        ("name", "string"),
        ("cls", "string"),
        ("lon", "double"),
        ("lat", "double"),
    ]
    assert table["id"].to_pylist() == [3, 1, 2**63 - 1]
    assert table.to_pylist()[0] == {
        "id": 3,
        "name": "Hoba",
        "cls": "Iron, IVB",
        "lon": 17.9,
        "lat": -19.5,
    }


def test_the_same_parts_give_the_same_bytes_in_whatever_order_they_come():
    parts = [("a.csv", to_csv(HOBA)), ("b.csv", to_csv(HOBA, id="2"))]
    assert parquet(*parts) == parquet(*reversed(parts))


def test_no_parts_give_an_empty_table():
    assert read(parquet()) == []


def test_rows_of_a_source_that_comes_again_are_replaced_and_all_others_stay():
    twice = [HOBA, {**HOBA, "id": "2"}]
    first = parquet(("a.csv", to_csv(twice)), ("b.csv", to_csv(HOBA, id="3")))
    assert parquet(("a.csv", to_csv(twice)), into=first) == first
    changed = parquet(("a.csv", to_csv(HOBA, id="9")), ("c.csv", to_csv(HOBA, id="4")), into=first)
    assert [row["id"] for row in read(changed)] == [9, 3, 4]
    emptied = parquet(("b.csv", to_csv([])), into=changed)
    assert [row["id"] for row in read(emptied)] == [9, 4]
    assert [row["id"] for row in read(parquet(("b.csv", to_csv(HOBA)), into=emptied))] == [
        9,
        11890,
        4,
    ]


def test_a_parquet_file_of_others_is_not_touched():
    foreign = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": [1]}), foreign)
    with pytest.raises(DataError, match="does not tell whose rows it has"):
        parquet(("a.csv", to_csv(HOBA)), into=foreign.getvalue())


@pytest.mark.parametrize(
    "content", [b"", b"a,b\r\n1,2\r\n", to_csv(HOBA).replace(b"11890", b"x"), b"\xff\xfe"]
)
def test_what_is_not_the_expected_csv_is_named(content):
    with pytest.raises(DataError, match=r"^bad\.csv: is not the expected CSV"):
        heavy.read("bad.csv", content)


def test_a_large_value_with_line_breaks_stays_one_value():
    name = "x\n" * 1_000_000
    assert read(parquet(("a.csv", to_csv(HOBA, name=name))))[0]["name"] == name


@pytest.mark.parametrize("name", ["nothing", "../os", "os.path", "", "light_transform_blueprint.x"])
def test_a_transform_that_is_not_there_is_a_configuration_error(name):
    with pytest.raises(ConfigurationError, match="there is no transform"):
        transforms.find("stage_a_transforms", name)
