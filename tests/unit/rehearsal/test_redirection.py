"""What keeps a build on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ci import settings
from ci.aws import Credentials
from ci.cloud import Cloud
from ci.home import Home
from ci.rehearsal import redirection

CLOUD = Cloud("123456789012", "eu-central-1", "", Credentials("AKIALOCAL", "of-nobody"), 5123)
USER = {
    "PATH": "/usr/bin", "HOME": "/home/me", "HTTPS_PROXY": "http://proxy:3128",
    "NO_PROXY": "intern", "SSL_CERT_FILE": "/ca.pem",
    "AWS_PROFILE": "production", "AWS_SECRET_ACCESS_KEY": "of-the-user",
    "AWS_ENDPOINT_URL_S3": "https://elsewhere", "PIPELINE_TARGET": "aws",
    "ECR_COMMON_DATALAKE_REPO_URL": "1.dkr.ecr.us-east-1.amazonaws.com/x",
    "DAGGER_SESSION_PORT": "1", "DAGGER_SESSION_TOKEN": "t", "DAGGER_CLOUD_TOKEN": "secret",
    "_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://host:1",
    "GITHUB_ACTIONS": "true", "CODEBUILD_BUILD_ID": "a:b",
}  # fmt: skip


def seen(*argv: str, **environ: str) -> dict[str, str]:
    given = USER | environ
    chosen = settings.parse(["rehearse", *argv], environ)
    return redirection.inherited(given, Path("/programs")) | redirection.redirected(
        chosen, given, Home(Path("/cache")), CLOUD
    )


def test_a_build_finds_this_machines_network_and_no_account() -> None:
    assert seen() == {
        "PATH": f"/programs:{Path(sys.executable).parent}:/usr/bin",
        "HOME": "/home/me",
        "HTTPS_PROXY": "http://proxy:3128",
        "SSL_CERT_FILE": "/ca.pem",
        "NO_PROXY": "intern,localhost,127.0.0.1",
        "no_proxy": "intern,localhost,127.0.0.1",
        "_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://host:1",
        "AWS_ACCESS_KEY_ID": "AKIALOCAL",
        "AWS_SECRET_ACCESS_KEY": "of-nobody",
        "AWS_ENDPOINT_URL": "http://localhost:5123",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIPELINE_HOME": "/cache",
    }


def test_what_was_chosen_for_the_rehearsal_holds_for_its_builds() -> None:
    found = seen(
        "--engine", "embedded", "--jobs", "3", "--mirror", "a.example=b.example:5000",
        "--timeout", "90s", "--pin", "tag", PIPELINE_MAX_CONTEXT="5MB",
    )  # fmt: skip
    chosen = {name: value for name, value in found.items() if name.startswith("PIPELINE_")}
    assert chosen == {
        "PIPELINE_HOME": "/cache",
        "PIPELINE_ENGINE": "embedded",
        "PIPELINE_JOBS": "3",
        "PIPELINE_MIRRORS": "a.example=b.example:5000",
        "PIPELINE_TIMEOUT": "90s",
        "PIPELINE_PIN": "tag",
        "PIPELINE_MAX_CONTEXT": "5000000",
    }
    # And its builds understand it.
    again = settings.parse(["app"], chosen)
    assert (again.jobs, again.timeout, again.max_context) == (3, 90.0, 5_000_000)
    assert again.mirrors == (("a.example", "b.example:5000"),)


def test_the_programs_of_a_build_are_those_of_the_rehearsal(tmp_path: Path) -> None:
    directory = redirection.programs(tmp_path / "with space/bin", embedded=True)

    def said(*command: str) -> str:
        done = subprocess.run(
            command, env={"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(tmp_path)},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert said("python", "-c", "import sys; print(sys.executable)") == sys.executable
    assert said("dagger", "--help").startswith("usage: dagger-embedded")
    redirection.programs(directory, embedded=False)
    assert [path.name for path in directory.iterdir()] == ["python"]
