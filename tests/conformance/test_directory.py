"""Directories and files."""

from collections.abc import Callable
from pathlib import Path

import dagger
import pytest
from dagger import dag

from ci.engine.session import Session

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]
Write = Callable[..., str]


async def test_new_file_has_contents_name_and_size() -> None:
    file = dag.directory().with_new_file("a/b.txt", "hé\n").file("a/b.txt")
    assert await file.contents() == "hé\n"
    assert await file.name() == "b.txt"
    assert await file.size() == 4


async def test_new_file_replaces_one_of_that_name() -> None:
    directory = dag.directory().with_new_file("f", "old").with_new_file("f", "new")
    assert await directory.file("f").contents() == "new"


async def test_permissions_of_a_new_file(base: dagger.Container) -> None:
    directory = dag.directory().with_new_file("run", "x", permissions=0o751)
    mounted = base.with_mounted_directory("/d", directory)
    assert await mounted.with_exec(["stat", "-c", "%a", "/d/run"]).stdout() == "751\n"


async def test_entries_are_sorted_and_directories_end_in_a_slash() -> None:
    directory = (
        dag.directory().with_new_file("b/x", "").with_new_file("a", "").with_new_file("c/d/e", "")
    )
    assert await directory.entries() == ["a", "b/", "c/"]
    assert await directory.entries(path="c") == ["d/"]
    assert await directory.directory("c/d").entries() == ["e"]


async def test_entries_of_an_empty_directory() -> None:
    assert await dag.directory().entries() == []


async def test_host_directory(context: Write) -> None:
    path = context({"one.txt": "1", "sub/two.txt": "2"})
    directory = dag.host().directory(path)
    assert await directory.entries() == ["one.txt", "sub/"]
    assert await directory.file("sub/two.txt").contents() == "2"
    assert await directory.directory("sub").entries() == ["two.txt"]


async def test_host_directory_include_and_exclude(context: Write) -> None:
    path = context({"a.py": "", "a.md": "", "sub/b.py": "", "sub/b.md": "", "skip/c.py": ""})
    chosen = dag.host().directory(path, include=["**/*.py"], exclude=["skip"])
    assert await chosen.entries() == ["a.py", "sub/"]
    assert await chosen.directory("sub").entries() == ["b.py"]
    assert "skip/" not in await dag.host().directory(path, exclude=["skip/"]).entries()


async def test_host_directory_is_read_anew_by_a_new_query(context: Write) -> None:
    path = context({"f": "before"})
    assert await dag.host().directory(path, no_cache=True).file("f").contents() == "before"


async def test_with_directory_merges_and_filters() -> None:
    source = dag.directory().with_new_file("keep.py", "1").with_new_file("drop.md", "2")
    target = dag.directory().with_new_file("there", "0")
    merged = target.with_directory("in", source, exclude=["*.md"]).with_directory("/", source)
    assert await merged.entries() == ["drop.md", "in/", "keep.py", "there"]
    assert await merged.directory("in").entries() == ["keep.py"]
    only = dag.directory().with_directory("/", source, include=["*.md"])
    assert await only.entries() == ["drop.md"]


async def test_with_file() -> None:
    file = dag.directory().with_new_file("x", "data").file("x")
    directory = dag.directory().with_file("deep/y", file)
    assert await directory.file("deep/y").contents() == "data"


async def test_sync_returns_the_same_directory() -> None:
    directory = await dag.directory().with_new_file("x", "data").sync()
    assert await directory.file("x").contents() == "data"


async def test_export_merges_into_the_host_directory(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    directory = dag.directory().with_new_file("a/new", "new")
    assert await directory.export(str(tmp_path)) == str(tmp_path)
    assert (tmp_path / "a" / "new").read_text() == "new"
    assert (tmp_path / "old").read_text() == "old"


async def test_export_can_wipe_first(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    await dag.directory().with_new_file("new", "new").export(str(tmp_path), wipe=True)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


async def test_file_export(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    file = dag.directory().with_new_file("x", "data").file("x")
    assert await file.export(str(target)) == str(target)
    assert target.read_text() == "data"


async def test_missing_file_and_directory() -> None:
    directory = dag.directory().with_new_file("x", "")
    with pytest.raises(dagger.QueryError, match="no such file or directory"):
        await directory.file("y").contents()
    with pytest.raises(dagger.QueryError, match="no such file or directory"):
        await directory.directory("z").entries()


async def test_missing_host_directory(tmp_path: Path) -> None:
    with pytest.raises(dagger.QueryError, match=r"no such file or directory|no such directory"):
        await dag.host().directory(str(tmp_path / "none")).entries()


async def test_symlinks_stay_symlinks(context: Write, base: dagger.Container) -> None:
    path = context({"target": "t"})
    (Path(path) / "link").symlink_to("target")
    mounted = base.with_mounted_directory("/d", dag.host().directory(path))
    assert await mounted.with_exec(["stat", "-c", "%F", "/d/link"]).stdout() == "symbolic link\n"


async def test_an_object_survives_as_its_id(engine: Session) -> None:
    directory = dag.directory().with_new_file("x", "data")
    id_ = await directory.id()
    assert isinstance(id_, str)
    assert await dag.directory().with_directory("in", directory).file("in/x").contents() == "data"
