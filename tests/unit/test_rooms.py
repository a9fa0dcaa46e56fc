"""Who may know what: the rules of docs/architecture.md, read off the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.templates import ROOT

# What runs inside of the tools container is a program of its own.
FILES = [path for path in sorted((ROOT / "ci").rglob("*.py")) if path.parent.name != "tools"]


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere, whole."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def users(*modules: str) -> Iterator[str]:
    """The files that import one of ``modules`` or something in it."""
    for path in FILES:
        for name in imported(path):
            if any(name == module or name.startswith(f"{module}.") for module in modules):
                yield path.relative_to(ROOT / "ci").as_posix()
                break


@pytest.mark.parametrize(
    ("modules", "rooms"),
    [
        (("boto3", "botocore"), ("aws.py",)),
        (("moto",), ("local/aws_apis/", "local/codepipeline/rules.py")),
        (("samtranslator",), ("package/sam.py",)),
        (("google.protobuf", "graphql"), ("engine/",)),
    ],
)
def test_a_library_is_known_to_its_room_only(
    modules: tuple[str, ...], rooms: tuple[str, ...]
) -> None:
    found = list(users(*modules))
    assert found, "nobody imports it: the rule is void"
    assert [name for name in found if not name.startswith(rooms)] == []


def test_the_dag_sees_the_sdk_and_nothing_of_an_engine() -> None:
    modules = imported(ROOT / "ci/building/images.py")
    assert "dagger" in modules
    assert not [name for name in modules if name.startswith(("ci.engine", "ci.local"))]


def test_only_programs_read_the_environment_and_arguments() -> None:
    programs = {"main.py", "machine.py", "engine/cli.py", "local/aws_apis/__main__.py"}
    found = {
        path.relative_to(ROOT / "ci").as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("sys", "argv"), ("os", "getenv")}
    }
    # Libraries that take nothing but the environment get it there: the SDK its session, moto its
    # port.
    assert found - {"engine/session.py", "local/aws_apis/server.py"} == programs


def test_no_module_shadows_a_library() -> None:
    """``python ci/main.py`` puts ci/ first on sys.path."""
    import sys

    libraries = set(sys.stdlib_module_names) | {"dagger", "boto3", "moto", "rich", "httpx", "yaml"}
    names = {path.stem for path in (ROOT / "ci").glob("*.py")}
    names |= {path.name for path in (ROOT / "ci").iterdir() if path.is_dir()}
    assert names & libraries == set()
