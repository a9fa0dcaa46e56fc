import pytest

from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree
from ci.engine.graph.containers import BadRequest, Container, Mount, configured, expand
from ci.engine.graph.steps import expected_codes


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("$X", "1"),
        ("${X}-$X", "1-1"),
        ("$NONE", ""),
        ("${NONE}", ""),
        ("${X:-default}", ""),
        ("$$", ""),
        ("cost 5", "cost 5"),
        ("$PATH:/foo", ":/foo"),
    ],
)
def test_expansion_is_that_of_go(value: str, expanded: str) -> None:
    assert expand(value, {"X": "1"}) == expanded


def test_a_variable_is_replaced_in_its_place() -> None:
    container = Container("linux/amd64", config={"Env": ["A=1", "B=2", "AB=3"]})
    changed = configured(
        container, "withEnvVariable", {"name": "A", "value": "new", "expand": False}
    )
    assert changed.env() == ["A=new", "B=2", "AB=3"]
    assert configured(changed, "withoutEnvVariable", {"name": "B"}).env() == ["A=new", "AB=3"]
    assert container.env() == ["A=1", "B=2", "AB=3"]


def test_a_path_in_a_mount_is_read_from_what_is_mounted() -> None:
    source = llb.write(Tree(), "/x", b"", 0o644)
    container = Container(
        "linux/amd64",
        mounts=(Mount("/m", tree=source), Mount("/m/c", cache=("k", "SHARED"))),
    )
    assert container.tree_at("/m/x") == source.at("x")
    assert container.tree_at("/mx") == container.root.at("/mx")
    with pytest.raises(BadRequest, match="/m/c/f: cannot retrieve path from cache"):
        container.tree_at("/m/c/f")


@pytest.mark.parametrize(
    ("expect", "accepted", "refused"),
    [
        ("SUCCESS", [0], [1, 128, 255]),
        ("FAILURE", [1, 127, 192, 255], [0, 128, 137, 191]),
        ("ANY", [0, 1, 127, 192, 255], [128, 130, 143, 191]),
    ],
)
def test_exit_codes(expect: str, accepted: list[int], refused: list[int]) -> None:
    codes = set(expected_codes(expect))
    assert codes.issuperset(accepted)
    assert codes.isdisjoint(refused)
