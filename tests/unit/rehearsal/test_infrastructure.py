"""The infrastructure stack as the source tree has it, and what can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.templates import ROOT
from kit.trees import write

from ci import settings
from ci.errors import InputErrors
from ci.rehearsal import infrastructure

TEMPLATE = "Parameters: {pPrefix: {Type: String, AllowedValues: [dev, stg]}}\nResources: {rA: {}}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path / "codepipeline/codepipeline.yaml", TEMPLATE)
    parameters = {"Parameters": {"pPrefix": "dev"}, "Tags": {"a": "b"}, "StackPolicy": {"S": []}}
    write(tmp_path / "codepipeline/parameters.json", json.dumps(parameters))
    return tmp_path


def read(tree: Path, *argv: str, **environ: str) -> infrastructure.Infrastructure:
    return infrastructure.read(settings.parse(["rehearse", "--source", str(tree), *argv], environ))


def test_the_stack_is_read(tree: Path) -> None:
    found = read(tree)
    assert (found.prefix, found.tags, json.loads(found.policy)) == ("dev", {"a": "b"}, {"S": []})
    assert found.text == TEMPLATE


def test_the_projects_own_is_read_and_fits_a_request() -> None:
    found = infrastructure.read(settings.parse(["rehearse", "--source", str(ROOT)], {}))
    assert (found.prefix, found.branch) == ("dev", "main")


@pytest.mark.parametrize(
    ("argv", "environ", "prefix"),
    [
        ((), {}, "dev"),
        (("--prefix", "stg"), {}, "stg"),
        ((), {"RESOURCE_PREFIX": "stg"}, "stg"),
    ],
)
def test_the_prefix_that_is_chosen_wins_over_the_files(
    tree: Path, argv: tuple[str, ...], environ: dict[str, str], prefix: str
) -> None:
    assert read(tree, *argv, **environ).prefix == prefix


def broken(change: Callable[[Path], object], tree: Path, *argv: str) -> str:
    change(tree)
    with pytest.raises(InputErrors) as error:
        read(tree, *argv)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("codepipeline.yaml", "a: [", "codepipeline.yaml:1: is no template"),
        ("codepipeline.yaml", TEMPLATE + "#" * 51_200, "bytes; a request takes 51200"),
        ("parameters.json", None, "parameters.json: is not there"),
        ("parameters.json", "{", "parameters.json: is not JSON"),
        ("parameters.json", '{"Parameters": {}}', "lacks pPrefix, which the template requires"),
        ("parameters.json", '{"Parameters": {"pPrefix": "dev", "pNone": "x"}}',
         "has pNone, which the template does not declare"),
        ("parameters.json", '{"Parameters": {"pPrefix": "prod"}}', "has pPrefix = 'prod'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told_before_anything_starts(
    tree: Path, file: str, text: str | None, what: str
) -> None:
    def change(root: Path) -> None:
        path = root / "codepipeline" / file
        path.unlink()
        if text is not None:
            path.write_text(text)

    assert what in broken(change, tree)


def test_a_prefix_that_the_template_does_not_take_is_told(tree: Path) -> None:
    assert "pPrefix = 'mine'" in broken(lambda root: None, tree, "--prefix", "mine")
