"""The tools container: a pinned AWS CLI, and what it does for one stack, as steps of the DAG."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import dagger
from dagger import dag

from ci.cloud import Cloud
from ci.errors import PipelineError
from ci.package.artifacts import ROOT

BASE = "public.ecr.aws/lambda/python:3.13"
"""The image that the functions start from: the engine has it already, here or as a mirror."""
ALIAS = "aws.localhost"
"""The local cloud, as containers reach it. moto reads templates from URLs with localhost only."""
_TOOLS = Path(__file__).with_name("tools")
_RESULT = "packaged-template.yaml"
# Buckets in host names, the default, would each need an alias of its own.
_CONFIG = "[default]\ns3 =\n    addressing_style = path\n"
_UPLOADED = re.compile(r"Uploading to (\S+) ")
_LAST_LINES = 12


@dataclass(frozen=True)
class Packaged:
    """The packaged template, and the keys in the bucket that were not there before."""

    text: str
    uploaded: tuple[str, ...]


def container(
    base: str = BASE, ca_bundle: Path | None = None, index: str | None = None
) -> dagger.Container:
    """The AWS CLI in its pinned version on a Python image.

    ``ca_bundle`` is trusted, too. ``index`` is a mirror of PyPI, whose URL may hold a password.
    """
    tools = dag.container().from_(base).with_entrypoint([]).with_workdir("/tools")
    if ca_bundle:
        import certifi

        trusted = Path(certifi.where()).read_text() + ca_bundle.read_text()
        tools = tools.with_new_file("/tools/ca.pem", trusted)
        for name in ("PIP_CERT", "AWS_CA_BUNDLE"):
            tools = tools.with_env_variable(name, "/tools/ca.pem")
    if index:
        tools = tools.with_secret_variable("PIP_INDEX_URL", dag.set_secret("pip-index", index))
    requirements = (_TOOLS / "requirements.txt").read_text()
    program = (_TOOLS / "aws_cli.py").read_text()
    install = ["pip", "install", "--no-cache-dir", "--require-hashes", "-r", "requirements.txt"]
    return (
        tools.with_new_file("/tools/requirements.txt", requirements)
        .with_exec(["python3", "-m", *install])
        .with_new_file("/tools/aws_cli.py", program)
    )


def inside(tools: dagger.Container, cloud: Cloud) -> dagger.Container:
    """``tools`` with access to a cloud; credentials travel as secrets."""
    for name, value in cloud.credentials.variables():
        tools = tools.with_secret_variable(name, dag.set_secret(f"package-{name}", value))
    tools = tools.with_env_variable("AWS_DEFAULT_REGION", cloud.region)
    if cloud.port is None:
        return tools
    service = dag.host().service([dagger.PortForward(backend=cloud.port, frontend=cloud.port)])
    return (
        tools.with_service_binding(ALIAS, service)
        .with_env_variable("AWS_ENDPOINT_URL", f"http://{ALIAS}:{cloud.port}")
        .with_env_variable("NO_PROXY", ALIAS)
        .with_new_file("/tools/aws-config", _CONFIG)
        .with_env_variable("AWS_CONFIG_FILE", "/tools/aws-config")
    )


async def ready(tools: dagger.Container) -> None:
    """Makes the container, so that its failure is told once. Raises PipelineError."""
    try:
        await tools.sync()
    except dagger.ExecError as error:
        what = f"the AWS CLI cannot be installed; pip said:{_last(error.stderr)}"
        fix = "see that PyPI, or the mirror of it, can be reached from the engine's containers"
        raise PipelineError("tools container", what, fix) from error


async def package(tools: dagger.Container, staged: Path, bucket: str, where: str) -> Packaged:
    """Uploads what a staged template (see ``artifacts.stage``) refers to.

    Raises PipelineError about ``where``, with the AWS CLI's own words.
    """
    command = [
        "python3", "/tools/aws_cli.py", "cloudformation", "package",
        "--template-file", ROOT, "--s3-bucket", bucket, "--output-template-file", _RESULT,
    ]  # fmt: skip
    done = (
        tools.with_directory("/stack", dag.host().directory(str(staged)))
        .with_workdir("/stack")
        # The bucket is no part of the DAG's inputs: what was uploaded once may be gone.
        .with_env_variable("PACKAGED_BY", uuid.uuid4().hex)
        .with_exec(command)
    )
    try:
        said = await done.stderr()
        text = await done.file(_RESULT).contents()
    except dagger.ExecError as error:
        raise failed(where, bucket, f"{error.stdout}\n{error.stderr}") from error
    return Packaged(text, tuple(dict.fromkeys(_UPLOADED.findall(said))))


_FIXES = (
    (r"ExpiredToken|InvalidAccessKeyId|InvalidClientTokenId|SignatureDoesNotMatch|credentials",
     "renew the credentials (aws sso login, aws configure), and run again"),
    (r"NoSuchBucket|bucket does not exist",
     "create the bucket, or name another in S3_BUCKET"),
    (r"AccessDenied|Forbidden|\b403\b",
     "see that the credentials allow s3:GetObject, s3:PutObject and s3:ListBucket on the bucket"),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocation",
     "name a bucket of the stack's region in S3_BUCKET"),
)  # fmt: skip


def failed(where: str, bucket: str, output: str) -> PipelineError:
    """What the AWS CLI said when it failed, as the user's error."""
    fix = next((fix for pattern, fix in _FIXES if re.search(pattern, output, re.IGNORECASE)), "")
    what = f"could not be packaged into the bucket {bucket}; the AWS CLI said:{_last(output)}"
    return PipelineError(where, what, fix or "mend what it names, and run again")


def _last(output: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]+", output) if line.strip()]
    return "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])
