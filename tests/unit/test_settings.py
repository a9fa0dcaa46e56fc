from __future__ import annotations

from pathlib import Path

import pytest

from ci.errors import InputErrors
from ci.settings import parse


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    settings = parse(["app", "--jobs", "3"], {"PIPELINE_JOBS": "5", "PIPELINE_TIMEOUT": "90s"})
    assert (settings.jobs, settings.origins["jobs"]) == (3, "--jobs")
    assert (settings.timeout, settings.origins["timeout"]) == (90.0, "PIPELINE_TIMEOUT")
    assert (settings.prefix, settings.origins["prefix"]) == ("stg", "default")


def test_the_seeds_environment_means_what_it_means_there() -> None:
    settings = parse([], {
        "RESOURCE_PREFIX": "dev",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "ECR_COMMON_DATALAKE_REPO_URL": "012345678901.dkr.ecr.us-east-2.amazonaws.com/dev-layer",
    })  # fmt: skip
    assert settings.prefix == "dev"
    assert settings.region == "eu-central-1"
    assert settings.layer_repository.endswith("us-east-2.amazonaws.com/dev-layer")


def test_an_empty_variable_is_not_set() -> None:
    """As in the seed's ``${RESOURCE_PREFIX:=stg}``."""
    settings = parse([], {"RESOURCE_PREFIX": "", "PIPELINE_JOBS": " "})
    assert (settings.prefix, settings.jobs) == ("stg", 20)


def test_no_command_is_rehearse() -> None:
    assert parse([], {}).command == "rehearse"


def test_options_may_stand_before_and_after_the_command() -> None:
    settings = parse(["--json", "plan", "--only", "a", "b-*", "--only", "c"], {})
    assert settings.command == "plan"
    assert settings.json
    assert settings.only == ("a", "b-*", "c")


def test_lists_in_the_environment_are_split_at_commas_and_spaces() -> None:
    settings = parse([], {"PIPELINE_ONLY": "a,b c", "PIPELINE_MIRRORS": "x.io=m:1 y.io=m:2"})
    assert settings.only == ("a", "b", "c")
    assert settings.mirrors == (("x.io", "m:1"), ("y.io", "m:2"))


def test_the_layer_lies_in_the_source_unless_named() -> None:
    assert parse(["--source", "tree"], {}).layer == Path("tree/common_layer")
    assert parse(["--source", "tree", "--layer", "other"], {}).layer == Path("other")


def test_rehearse_is_local_whatever_the_environment_says() -> None:
    settings = parse(["rehearse"], {"PIPELINE_TARGET": "aws"})
    assert settings.target == "local"
    assert settings.origins["target"] == "rehearse is always local"
    assert parse(["app"], {"PIPELINE_TARGET": "aws"}).target == "aws"


def test_a_ci_system_alone_never_makes_the_target_an_account() -> None:
    for name in ("CODEBUILD_BUILD_ID", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "CI"):
        assert parse(["app"], {name: "true"}).target == "local"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 H", 7200)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse(["--timeout", text], {}).timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5e8), ("2gb", 2e9), ("10", 10), ("1.5 k", 1500)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse(["--max-context", text], {}).max_context == size


def test_switches_take_every_spelling_of_yes_and_no() -> None:
    for text, value in (("1", True), ("Yes", True), ("off", False), ("FALSE", False)):
        assert parse([], {"PIPELINE_JSON": text}).json is value
    with pytest.raises(InputErrors, match="neither yes nor no"):
        parse([], {"PIPELINE_JSON": "tru"})


def test_variables_of_other_tools_are_left_alone() -> None:
    parse([], {"PIPELINE_WORKSPACE": "/x", "CI_PIPELINE_ID": "1"})


def test_an_unknown_option_with_a_value_is_one_problem() -> None:
    with pytest.raises(InputErrors) as raised:
        parse(["app", "--regsitry", "somewhere"], {})
    assert [str(problem) for problem in raised.value.errors] == [
        "--regsitry: is no option\n  → did you mean --registry?"
    ]


def test_engine_takes_only_what_it_has_a_use_for() -> None:
    parse(["engine", "start", "--mirror", "x.io=m:1"], {"PIPELINE_JOBS": "3"})
    with pytest.raises(InputErrors, match="--jobs: means nothing to engine"):
        parse(["engine", "start", "--jobs", "3"], {})


def test_what_only_some_commands_do_is_asked_of_those_only() -> None:
    assert parse(["destroy", "--purge", "--yes", "123456789012"], {}).purge
    assert parse(["rollback", "--allow-replacement"], {}).allow_replacement
    with pytest.raises(InputErrors) as raised:
        parse(["app", "--purge", "--allow-replacement", "--yes", "123456789012"], {})
    assert {error.where for error in raised.value.errors} == {
        "--purge", "--allow-replacement", "--yes",
    }  # fmt: skip
    parse(["app"], {"PIPELINE_PURGE": "yes"})  # a setting for all commands is none for this one


@pytest.mark.parametrize(
    ("flag", "text", "says"),
    [
        ("--yes", "12345", "is no account id of 12 digits"),
        ("--deployment-role", "deployer", "is no role such as arn:aws:iam::"),
        ("--infrastructure-stack", "my_stack", "is no stack name"),
    ],
)
def test_names_of_things_on_aws_are_judged(flag: str, text: str, says: str) -> None:
    with pytest.raises(InputErrors, match=says):
        parse(["destroy", flag, text], {})
