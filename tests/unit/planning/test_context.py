from __future__ import annotations

from pathlib import Path

import pytest

from ci.planning import context


def left(root: Path, ignore: str, *paths: str) -> dict[str, int]:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")
    (root / ".dockerignore").write_text(ignore)
    sizes = context.sizes(root, context.ignored(root, "Dockerfile"))
    return {name: size for name, size in sizes.items() if name != ".dockerignore"}


@pytest.mark.parametrize(
    ("ignore", "kept"),
    [
        ("", {"a.txt": 5, "src": 10, "x": 5}),
        ("# comment\n\nsrc\n", {"a.txt": 5, "x": 5}),
        ("/src/", {"a.txt": 5, "x": 5}),
        ("*.txt", {"src": 10, "x": 5}),
        ("**/*.py", {"a.txt": 5, "x": 5}),
        ("*/*.py", {"a.txt": 5, "src": 5, "x": 5}),
        ("src/lib", {"a.txt": 5, "src": 5, "x": 5}),
        ("*\n!src", {"src": 10}),
        ("*\n!src/lib/*.py", {"src": 5}),
        ("!src\nsrc", {"a.txt": 5, "x": 5}),
        ("?.txt", {"src": 10, "x": 5}),
        ("[ab].txt", {"src": 10, "x": 5}),
        ("  x  \n./a.txt", {"src": 10}),
        ("**", {}),
    ],
)  # fmt: skip
def test_dockerignore(ignore: str, kept: dict[str, int], tmp_path: Path) -> None:
    assert left(tmp_path, ignore, "a.txt", "src/f.py", "src/lib/g.py", "x") == kept


def test_a_dockerfiles_own_ignore_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "Dockerfile.dockerignore").write_text("b")
    assert [pattern.text for pattern in context.ignored(tmp_path, "Dockerfile")] == ["b"]
    assert [pattern.text for pattern in context.ignored(tmp_path, "DockerFile")] == ["a"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "outside").write_text("x" * 1000)
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/loop").symlink_to(tmp_path / "tree")
    assert context.sizes(tmp_path / "tree", ()) == {}
