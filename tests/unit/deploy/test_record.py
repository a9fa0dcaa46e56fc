"""How the tags of what runs and of what ran before move: pure."""

from __future__ import annotations

from ci.deploy.record import decide

A, B, C = "sha256:a", "sha256:b", "sha256:c"


def test_the_first_deployment_has_nothing_before_it() -> None:
    moves = decide({"one": A, "two": B}, {"one": "", "two": ""}, {"one": "", "two": ""})
    assert moves.deployed == {"one": A, "two": B}
    assert moves.previous == {}


def test_what_is_recorded_already_moves_nothing() -> None:
    moves = decide({"one": A, "two": B}, {"one": A, "two": B}, {"one": C, "two": B})
    assert (moves.deployed, moves.previous) == ({}, {})


def test_all_functions_move_together_so_that_a_rollback_is_one_deployment() -> None:
    """``two`` did not change: what ran before it is what runs now, not what ran long ago."""
    moves = decide({"one": B, "two": B}, {"one": A, "two": B}, {"one": "", "two": C})
    assert moves.deployed == {"one": B, "two": B}
    assert moves.previous == {"one": A, "two": B}


def test_a_function_that_is_gone_is_nobodys_concern() -> None:
    moves = decide({"one": B}, {"one": A, "gone": A}, {"one": ""})
    assert moves.deployed == {"one": B}
    assert moves.previous == {"one": A}


def test_a_new_function_does_not_go_back_to_what_an_older_one_of_its_name_ran() -> None:
    moves = decide({"one": B, "new": B}, {"one": A, "new": ""}, {"one": "", "new": C})
    assert moves.previous == {"one": A, "new": B}


def test_nothing_runs() -> None:
    moves = decide({}, {}, {})
    assert (moves.deployed, moves.previous) == ({}, {})
