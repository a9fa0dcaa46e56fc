from __future__ import annotations

import json
import os
import time
import zipfile
from pathlib import Path

import pytest
from kit import stacks
from kit.trees import write

from ci.package.artifacts import ROOT, files, stage, zip_deterministically
from ci.package.places import at
from ci.package.stacks import read


def zipped(source: Path, target: Path) -> bytes:
    zip_deterministically(source, target)
    return target.read_bytes()


def test_a_zip_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for root, order in ((one, ("b/c.py", "a.py", "b.py")), (two, ("b.py", "b/c.py", "a.py"))):
        for name in order:
            write(root / name, f"# {name}\n")
    (two / "a.py").chmod(0o700)
    os.utime(two / "b.py", (1, 1))
    write(two / "__pycache__/a.cpython-313.pyc", "compiled")
    first = zipped(one, tmp_path / "one.zip")
    assert zipped(two, tmp_path / "two.zip") == first
    write(two / "a.py", "# other\n")
    assert zipped(two, tmp_path / "two.zip") != first
    (two / "a.py").unlink()
    write(two / "A.py", "# a.py\n")
    assert zipped(two, tmp_path / "two.zip") != first


def test_a_zip_is_what_lambda_reads(tmp_path: Path) -> None:
    write(tmp_path / "code/bootstrap", "#!/bin/sh\n").chmod(0o600)
    write(tmp_path / "code/empty/none.txt", "")
    write(tmp_path / "code/ü.txt", "ü")
    zip_deterministically(tmp_path / "code", tmp_path / "code.zip")
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["bootstrap", "empty/none.txt", "ü.txt"]
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100755}
        assert archive.read("ü.txt").decode() == "ü"
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out/bootstrap").read_text() == "#!/bin/sh\n"


def test_a_single_file_as_a_zip(tmp_path: Path) -> None:
    write(tmp_path / "h.py", "x = 1\n")
    zip_deterministically(tmp_path / "h.py", tmp_path / "h.zip")
    with zipfile.ZipFile(tmp_path / "h.zip") as archive:
        assert archive.namelist() == ["h.py"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "shared/lib.py", "x = 1\n")
    write(tmp_path / "code/h.py", "")
    (tmp_path / "code/lib").symlink_to(tmp_path / "shared")
    (tmp_path / "code/self").symlink_to(tmp_path / "code")
    (tmp_path / "shared/up").symlink_to(tmp_path / "code")
    assert [name for name, _ in files(tmp_path / "code")] == ["h.py", "lib/lib.py"]


def test_a_link_to_nothing_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/gone.py").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        zip_deterministically(tmp_path / "code", tmp_path / "code.zip")


def test_a_large_tree_is_zipped_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "code").mkdir()
    with (tmp_path / "code/big").open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    began = time.monotonic()
    zip_deterministically(tmp_path / "code", tmp_path / "code.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert time.monotonic() - began < 10


def test_the_stage_is_flat_and_complete(tmp_path: Path) -> None:
    plain = read(stacks.room(tmp_path / "tree"), "dev")[0]
    (tmp_path / "stage").mkdir()
    stage(plain.template, tmp_path / "stage")
    document = json.loads((tmp_path / "stage" / ROOT).read_text())
    for artifact in plain.template.artifacts:
        staged = tmp_path / "stage" / at(document, artifact.place)
        assert zipfile.is_zipfile(staged) == artifact.zipped
        assert artifact.zipped or staged.read_bytes() == artifact.path.read_bytes()
    child = tmp_path / "stage" / at(document, plain.template.nested[0][0])
    code = json.loads(child.read_text())["Resources"]["rCode"]["Properties"]["Code"]
    assert zipfile.is_zipfile(tmp_path / "stage" / code)
    assert all(path.is_file() for path in (tmp_path / "stage").iterdir())
    assert plain.template.document["Resources"]["rZip"]["Properties"]["Code"] == "./code"
