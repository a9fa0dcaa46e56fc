"""The definitions for other CI systems, executed as those would: against the local cloud, which
plays the account, with our engine in the place of theirs.

They change what is deployed there, so they come after the rehearsals that count on it.
"""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import ci_systems, local_cloud, registries
from kit.checkouts import checkout, commit
from kit.ci_systems import InPlace, Job
from kit.local_cloud import LocalCloud
from kit.pipeline import ROOT

from ci.rehearsal import redirection

pytestmark = pytest.mark.e2e

HERE = ROOT / "codepipeline"
BUCKET = "dev-pipeline-artifacts-123456789012-us-east-1"
REGION = "us-east-1"


@dataclass(frozen=True)
class Runner:
    """A machine of a CI system, with a clone of one commit and its own environment."""

    clone: Path
    commit: str
    environ: dict[str, str]
    role: str = ""


@dataclass(frozen=True)
class Called:
    """The jobs that a system runs for an event, their environment, and the build's tag."""

    jobs: list[Job]
    environ: dict[str, str]
    tag: str


System = Callable[[Runner, bool], Called]


def github(runner: Runner, proposal: bool) -> Called:
    """Source of the variables: GitHub, "Default environment variables"."""
    event = "pull_request" if proposal else "push"
    contexts = {
        "github.event_name": event, "github.ref": "refs/heads/main", "vars.S3_BUCKET": BUCKET,
        "vars.AWS_REGION": REGION, "vars.AWS_ROLE_ARN": runner.role,
    }  # fmt: skip
    environ = {
        "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event,
        "GITHUB_RUN_ATTEMPT": "2", "GITHUB_RUN_ID": "4711", "GITHUB_SHA": runner.commit,
    }  # fmt: skip
    jobs = ci_systems.github((HERE / "github-actions.yaml").read_text(), contexts)
    return Called(jobs, environ, "build-4711-2")


def gitlab(runner: Runner, proposal: bool) -> Called:
    """Source of the variables: GitLab, "Predefined CI/CD variables"."""
    environ = {
        "CI": "true", "GITLAB_CI": "true", "CI_COMMIT_SHA": runner.commit,
        "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": "4712",
        "CI_PROJECT_DIR": str(runner.clone),
        # What the definition asks the user for.
        "AWS_DEFAULT_REGION": REGION, "AWS_ROLE_ARN": runner.role, "S3_BUCKET": BUCKET,
    } | (
        {"CI_PIPELINE_SOURCE": "merge_request_event"}
        if proposal
        else {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
    )  # fmt: skip
    jobs = ci_systems.gitlab((HERE / "gitlab-ci.yaml").read_text(), environ)
    return Called(jobs, environ, "build-4712")


def jenkins(runner: Runner, proposal: bool) -> Called:
    """Source of the variables: Jenkins, "Using environment variables"; a multibranch project."""
    branch = {"BRANCH_NAME": "PR-1", "CHANGE_ID": "1"} if proposal else {"BRANCH_NAME": "main"}
    environ = {
        "BUILD_NUMBER": "4713", "GIT_COMMIT": runner.commit,
        "JENKINS_URL": "http://jenkins.example", "PATH": runner.environ["PATH"],
        "WORKSPACE": str(runner.clone), "S3_BUCKET": BUCKET, **branch,
    }  # fmt: skip
    jobs = ci_systems.jenkins((HERE / "Jenkinsfile").read_text(), environ)
    return Called(jobs, environ, f"build-{branch['BRANCH_NAME']}-4713")


SYSTEMS = [github, gitlab, jenkins]
FUNCTIONS = dict(zip(SYSTEMS, ("stage-a-error", "stage-b-error", "redrive-lambda"), strict=True))
"""The function that is changed for each: its deployment is the one to be seen."""


def in_place(cloud: LocalCloud | None) -> dict[str, InPlace]:
    """What is done here for what GitHub's steps use."""

    def credentials(given: dict[str, str]) -> dict[str, str]:
        assert cloud, "a proposal gets no credentials"
        found = cloud.client("sts").assume_role_with_web_identity(
            RoleArn=given["role-to-assume"], RoleSessionName="GitHubActions",
            WebIdentityToken="a.token.of-github",
        )["Credentials"]  # fmt: skip
        return {
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
            "AWS_SESSION_TOKEN": found["SessionToken"],
            "AWS_REGION": given["aws-region"],
            "AWS_DEFAULT_REGION": given["aws-region"],
        }

    return {
        "actions/checkout": lambda given: {},  # the clone is there
        "actions/setup-python": lambda given: {},  # so is Python
        "aws-actions/configure-aws-credentials": credentials,  # the exchange of the token
    }


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner with Python, git and a dagger CLI (ours), the packages, and no account."""
    clone = checkout(tmp_path / "clone")
    programs = redirection.programs(tmp_path / "bin", embedded=True)
    (programs / "python3").symlink_to("python")
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        # An environment that a definition makes for itself finds what set-up installed.
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    return Runner(clone, "", environ)


@pytest.fixture(scope="module")
def role(cloud: LocalCloud) -> str:
    """The role of a repository's workflow: its template deployed as the documentation says."""
    found = cloud.client("cloudformation")
    [stack] = found.describe_stacks(StackName="datalake-infra-resources")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    parameters = {
        "pPrefix": "dev",
        "pRepository": "owner/name",
        "pArtifactStore": outputs["oArtifactStore"],
        "pArtifactStoreKMSKey": outputs["oArtifactStoreKMSKey"],
        "pDeploymentRole": outputs["oDeploymentRole"],
    }
    template = (HERE / "github-oidc.yaml").read_text()
    made = local_cloud.deploy(cloud, "github-oidc", template, parameters)
    assert made["StackStatus"] == "CREATE_COMPLETE", local_cloud.events(cloud, "github-oidc")
    return str(made["Outputs"][0]["OutputValue"])


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_proposal_is_planned_without_credentials(system: System, runner: Runner) -> None:
    runner = Runner(runner.clone, commit(runner.clone, "a proposal"), runner.environ)
    called = system(runner, True)
    [job] = called.jobs
    said = ci_systems.run(job, runner.clone, {**runner.environ, **called.environ}, in_place(None))
    assert "python ci/main.py plan" in said
    assert called.tag in said
    assert runner.commit[:7] in said
    assert not (runner.clone / "out").exists()


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_branch_is_built_and_deployed(
    system: System, runner: Runner, cloud: LocalCloud, images: str, role: str
) -> None:
    function = FUNCTIONS[system]
    with (runner.clone / "dockerfiles" / function / "src/lambda_function.py").open("a") as source:
        source.write(f"# changed for {system.__name__}\n")
    environ = {
        **runner.environ,
        "PIPELINE_HOME": str(cloud.home.root),
        "AWS_ENDPOINT_URL": str(cloud.cloud.endpoint),
    }
    if system is jenkins:  # the agents' own role
        environ |= dict(cloud.cloud.credentials.variables()) | {"AWS_DEFAULT_REGION": REGION}
    runner = Runner(runner.clone, commit(runner.clone, "a change"), environ, role)
    called = system(runner, False)
    [job] = called.jobs
    assert list(job.services) == (
        ["registry.dagger.io/engine:v0.21.11"] if system is gitlab else []
    )
    ci_systems.run(job, runner.clone, {**environ, **called.environ}, in_place(cloud))
    report = json.loads((runner.clone / "out/report.json").read_text())
    assert (report["command"], report["target"], report["outcome"]) == (
        "deploy", "aws", "succeeded",
    )  # fmt: skip
    tags = registries.tags(images, f"dev-{function}")
    digest = tags[called.tag]
    for tag in (runner.commit[:7], "latest", "deployed-dev"):
        assert tags[tag] == digest
    code = cloud.client("lambda").get_function(FunctionName=f"dev-{function}")["Code"]
    assert code["ImageUri"].endswith(f"@{digest}")
    assert {stack["status"] for stack in report["stacks"]} == {"updated", "unchanged"}
    layers = registries.tags(images, "dev-common-datalake-library")
    assert layers[called.tag] == layers["latest"]
