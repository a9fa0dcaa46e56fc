from pathlib import Path

import pytest

from ci.engine.api.nodes import Node, Nodes, UnknownID
from ci.engine.graph.context import HostTree, host_tree, overlay


def directory(nodes: Nodes, path: str, **args: object) -> Node:
    host = nodes.make("Host", "host", {})
    given = {"path": path, "include": [], "exclude": [], "noCache": False, **args}
    return nodes.make("Directory", "directory", given, host)


def new_file(nodes: Nodes, parent: Node, path: str) -> Node:
    args = {"path": path, "contents": "new", "permissions": 0o600}
    return nodes.make("Directory", "withNewFile", args, parent)


def test_a_host_directory_is_sent_as_it_is() -> None:
    nodes = Nodes()
    root = directory(nodes, "/src")
    assert host_tree(root) == HostTree(Path("/src"))
    below = nodes.make("Directory", "directory", {"path": "fn/./x"}, root)
    assert host_tree(below) == HostTree(Path("/src/fn/x"))
    laid = new_file(nodes, below, "/Dockerfile")
    assert host_tree(laid) == HostTree(Path("/src/fn/x"), (("Dockerfile", "new", 0o600),))


def test_what_is_no_host_directory_goes_through_buildkit() -> None:
    nodes = Nodes()
    assert host_tree(directory(nodes, "/src", exclude=["x"])) is None
    assert host_tree(nodes.make("Directory", "directory", {})) is None
    laid = new_file(nodes, directory(nodes, "/src"), "a/b")
    assert host_tree(nodes.make("Directory", "directory", {"path": "a"}, laid)) is None


def test_an_overlay_shares_files_and_leaves_the_checkout_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    (source / "Dockerfile").write_text("old")
    (source / "sub" / "big").write_text("data")
    (source / "link").symlink_to("sub/big")
    (source / "dangling").symlink_to("nowhere")
    overlay(HostTree(source, (("Dockerfile", "new", 0o640), ("a/b", "added", 0o600))), target)
    assert (source / "Dockerfile").read_text() == "old"
    assert (target / "Dockerfile").read_text() == "new"
    assert (target / "Dockerfile").stat().st_mode & 0o777 == 0o640
    assert (target / "a" / "b").read_text() == "added"
    assert (source / "sub" / "big").samefile(target / "sub" / "big")
    assert (target / "link").readlink() == Path("sub/big")
    assert (target / "dangling").is_symlink()


def test_equal_calls_are_one_object_and_ids_are_only_looked_up() -> None:
    nodes = Nodes()
    one = directory(nodes, "/src")
    assert directory(nodes, "/src") is one
    assert directory(nodes, "/other").id != one.id
    assert nodes.load(one.id, "Directory") is one
    with pytest.raises(UnknownID, match="is a Directory, not a Container"):
        nodes.load(one.id, "Container")
    with pytest.raises(UnknownID, match="no object of this session"):
        nodes.load("Directory:" + "0" * 64)
