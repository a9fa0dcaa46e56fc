"""The project's own stacks, put into a local cloud by hand: as packaged, images by tag."""

from __future__ import annotations

import json
from typing import Any

from kit import local_cloud, registries
from kit.local_cloud import LocalCloud
from kit.templates import FUNCTIONS, INFRASTRUCTURE, ROOT, parameters, resources, template

ORDER = ("common-cloudformation", "stagea", "stageb", "sdlf-engineering-meteorites")
BUCKET = "own-artifacts"
INFRASTRUCTURE_STACK = "dev-infrastructure"


def images(registry: str, tag: str = "latest") -> dict[str, str]:
    """An image for each function; its digest by the function's name."""
    return {
        name: registries.push_image(registry, f"dev-{name}", tag, content=f"{name} {tag}")
        for name in FUNCTIONS
    }


def packaged(cloud: LocalCloud, stack: str) -> dict[str, Any]:
    """A stack's template, its state machines uploaded."""
    document = template(stack)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for machine in resources(document, "AWS::StepFunctions::StateMachine").values():
        key = f"{stack}/{machine['DefinitionS3Location']}"
        text = (ROOT / "cfn" / stack / machine["DefinitionS3Location"]).read_bytes()
        s3.put_object(Bucket=BUCKET, Key=key, Body=text)
        machine["DefinitionS3Location"] = {"Bucket": BUCKET, "Key": key}
    return document


def uploaded(cloud: LocalCloud, name: str, document: dict[str, Any]) -> str:
    """The URL of a template in the local cloud's S3."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"{name}.json", Body=json.dumps(document))
    return f"{cloud.cloud.endpoint}/{BUCKET}/{name}.json"


def deploy(cloud: LocalCloud, stack: str, **given: str) -> dict[str, Any]:
    """One of the stacks, with its parameter file; DescribeStacks's answer about it."""
    file = parameters(stack)
    return local_cloud.deploy(
        cloud, stack, None, file["Parameters"] | given,
        TemplateURL=uploaded(cloud, stack, packaged(cloud, stack)),
        Tags=[{"Key": key, "Value": value} for key, value in file["Tags"].items()],
    )  # fmt: skip


def deploy_infrastructure(cloud: LocalCloud, **given: str) -> dict[str, Any]:
    """The infrastructure stack, with its parameter file."""
    file = json.loads((ROOT / "codepipeline" / "parameters.json").read_text())
    return local_cloud.deploy(
        cloud, INFRASTRUCTURE_STACK, None, file["Parameters"] | given,
        TemplateURL=uploaded(cloud, INFRASTRUCTURE_STACK, template(INFRASTRUCTURE)),
    )  # fmt: skip
