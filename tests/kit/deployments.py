"""Deployments for tests: an artifact as packaging leaves it, and the commands that change stacks,
against the local cloud's AWS APIs."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import jsonschema

from ci import settings
from ci.deploy import command
from ci.errors import PipelineError
from ci.home import Home
from ci.local.aws_apis import daemon
from ci.local.aws_apis.daemon import LocalCloud
from ci.local.functions import ACCOUNT
from kit import registries
from kit.trees import write

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/report.schema.json").read_text())
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"


def roles(port: int) -> None:
    """Makes the roles that functions and CloudFormation take on here: ``any`` and ``other``."""
    iam = boto3.client(
        "iam", region_name="us-east-1", endpoint_url=f"http://localhost:{port}",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    services = ["lambda.amazonaws.com", "cloudformation.amazonaws.com"]
    trust = [{"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    for name in ("any", "other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)


@dataclass(frozen=True)
class Result:
    """How a command ended; ``report`` is empty where none was written."""

    code: int
    out: str
    err: str
    report: Mapping[str, Any]

    @property
    def stacks(self) -> dict[str, dict[str, Any]]:
        return {stack["name"]: stack for stack in self.report["stacks"]}

    @property
    def statuses(self) -> dict[str, str]:
        return {name: stack["status"] for name, stack in self.stacks.items()}

    def changes(self, stack: str) -> dict[str, str]:
        """Action by logical id."""
        return {each["logical_id"]: each["action"] for each in self.stacks[stack]["change_set"]}


@dataclass
class World:
    """A region of a local cloud, a registry, and a source tree with its artifact."""

    root: Path
    port: int
    region: str
    registry: str
    bucket: str
    prefix: str = "dev"
    home: Home = field(default_factory=lambda: Home(Path("/nonexistent")))

    @property
    def artifact(self) -> Path:
        return self.root / "out/cfn"

    @property
    def ecr(self) -> str:
        return f"{ACCOUNT}.dkr.ecr.{self.region}.amazonaws.com"

    def client(self, service: str) -> Any:
        return boto3.client(
            service, region_name=self.region, endpoint_url=f"http://localhost:{self.port}",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def stack(
        self,
        name: str,
        resources: Mapping[str, Any],
        *,
        parameters: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Packages a stack: its ``Resources``, the values of its parameters, and ``more`` of its
        template, its ``Tags`` and ``StackPolicy``."""
        configuration: dict[str, Any] = {"Parameters": parameters or {}}
        configuration |= {key: more.pop(key) for key in ("Tags", "StackPolicy") if key in more}
        template = {"Resources": resources, **more}
        write(self.artifact / name / "packaged-template.yaml", json.dumps(template))
        write(self.artifact / name / "parameters.json", json.dumps(configuration))
        write(self.root / "cfn" / name / "template.yaml", json.dumps(template))

    def image(self, function: str, content: str) -> str:
        """Pushes an image of a function, under the tag ``content``; its digest."""
        name = f"{self.prefix}-{function}"
        return registries.push_image(self.registry, name, content, content=content)

    def function(self, function: str, digest: str) -> dict[str, Any]:
        """A resource that runs an image."""
        uri = f"{self.ecr}/{self.prefix}-{function}@{digest}"
        return {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": f"{self.prefix}-{function}", "PackageType": "Image", "Role": ROLE,
                "Code": {"ImageUri": uri},
            },
        }  # fmt: skip

    @contextmanager
    def waiting(self) -> Iterator[dict[str, Any]]:
        """A resource whose creation takes as long as this lasts: its image is looked up in a
        registry that does not answer. Then it fails, and the stack is what it was."""
        local = LocalCloud(self.port)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            daemon.put(local, "registry", {"host": f"127.0.0.1:{silent.getsockname()[1]}"})
            try:
                yield self.function("waiting", f"sha256:{'0' * 64}")
            finally:
                daemon.put(local, "registry", {"host": self.registry})

    def runs(self, function: str) -> str:
        """The digest that a deployed function runs."""
        found = self.client("lambda").get_function(FunctionName=f"{self.prefix}-{function}")
        return str(found["Code"]["ResolvedImageUri"]).partition("@")[2]

    def tags(self, function: str) -> dict[str, str]:
        """The digests of a function's ``deployed-`` and ``previous-`` tags."""
        found = registries.tags(self.registry, f"{self.prefix}-{function}")
        return {tag: digest for tag, digest in found.items() if tag.endswith(f"-{self.prefix}")}

    def status(self, stack: str) -> str:
        """A stack's state; blank where there is none."""
        cloudformation = self.client("cloudformation")
        try:
            return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
        except cloudformation.exceptions.ClientError:
            return ""

    def arguments(self, *argv: str) -> list[str]:
        """A command line of this world."""
        return [
            *argv, "--source", str(self.root), "--report", str(self.root / "out"),
            "--prefix", self.prefix, "--region", self.region, "--registry", self.registry,
            "--endpoint-url", f"http://localhost:{self.port}", "--bucket", self.bucket,
        ]  # fmt: skip

    def run(self, *argv: str, environ: Mapping[str, str] | None = None) -> Result:
        """Runs a command; its report fits the schema."""
        return self.run_exactly(self.arguments(*argv), environ or {})

    def run_exactly(self, argv: list[str], environ: Mapping[str, str]) -> Result:
        """Runs a command line as it is."""
        path = self.root / "out/report.json"
        path.unlink(missing_ok=True)
        out, err = io.StringIO(), io.StringIO()
        try:
            with redirect_stderr(err):
                chosen = settings.parse(argv, environ)
                code = command.run(chosen, environ, self.home, out, err)
        except PipelineError as error:
            err.write(str(error))
            code = error.exit_code
        report = json.loads(path.read_text()) if path.exists() else {}
        if report:
            jsonschema.validate(report, SCHEMA)
        return Result(code, out.getvalue(), err.getvalue(), report)
