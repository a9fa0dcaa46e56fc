"""The project's own stacks, deployed in the pipeline's order and deleted again."""

from __future__ import annotations

import json

import pytest
from kit import local_cloud, registries
from kit.local_cloud import LocalCloud
from kit.templates import FUNCTIONS, ROOT, parameters, resources, template

ORDER = ("common-cloudformation", "stagea", "stageb", "sdlf-engineering-meteorites")


@pytest.fixture(scope="module")
def stacks(cloud: LocalCloud, registry: str) -> LocalCloud:
    for name in FUNCTIONS:
        registries.push_image(registry, f"dev-{name}", "latest", content=name)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="artifacts")
    for stack in ORDER:
        document = template(stack)
        for machine in resources(document, "AWS::StepFunctions::StateMachine").values():
            path = machine["DefinitionS3Location"]
            text = (ROOT / "cfn" / stack / path).read_bytes()
            s3.put_object(Bucket="artifacts", Key=f"{stack}/{path}", Body=text)
            machine["DefinitionS3Location"] = {"Bucket": "artifacts", "Key": f"{stack}/{path}"}
        s3.put_object(Bucket="artifacts", Key=stack, Body=json.dumps(document))
        url = f"{cloud.cloud.endpoint}/artifacts/{stack}"
        given = parameters(stack)["Parameters"]
        made = local_cloud.change_set(
            cloud, stack, None, given, TemplateURL=url, ChangeSetType="CREATE"
        )
        assert made["Status"] == "CREATE_COMPLETE", made.get("StatusReason")
        done = local_cloud.execute(cloud, stack)
        assert done["StackStatus"] == "CREATE_COMPLETE", local_cloud.events(cloud, stack)
    return cloud


def test_every_function_is_there_with_its_image(stacks: LocalCloud) -> None:
    functions = stacks.client("lambda").list_functions()["Functions"]
    assert sorted(each["FunctionName"] for each in functions) == [f"dev-{n}" for n in FUNCTIONS]
