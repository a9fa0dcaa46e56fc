"""AWS::SSM::Parameter.

Source: AWS CloudFormation Template Reference, "AWS::SSM::Parameter".
"""

from __future__ import annotations

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_PLAIN = ("AllowedPattern", "DataType", "Description", "Policies", "Tier", "Type", "Value")


def _create(work: Work) -> Product:
    name = work.properties.get("Name") or f"CFN-{work.name(1000)}"
    given = work.given(*_PLAIN)
    if work.tags:
        given["Tags"] = listed(work.tags)
    work.call("ssm", "put_parameter", Name=name, **given)
    return _product(work, name)


def _update(work: Work) -> Product:
    name = work.physical_id
    work.call("ssm", "put_parameter", Name=name, Overwrite=True, **work.given(*_PLAIN))
    if differ(work):
        about = {"ResourceType": "Parameter", "ResourceId": name}
        if gone := removed(work):
            work.call("ssm", "remove_tags_from_resource", TagKeys=gone, **about)
        if work.tags:
            work.call("ssm", "add_tags_to_resource", Tags=listed(work.tags), **about)
    return _product(work, name)


def _product(work: Work, name: str) -> Product:
    arn = work.arn("ssm", f"parameter/{name.removeprefix('/')}")
    return Product(name, {"Arn": arn, **work.given("Type", "Value")})


def _delete(work: Work) -> None:
    with work.absent("ssm", "ParameterNotFound"):
        work.call("ssm", "delete_parameter", Name=work.physical_id)


KINDS = (
    Kind(
        type="AWS::SSM::Parameter",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset({*_PLAIN, "Name"}),
        required=("Type", "Value"),
        replaced=frozenset({"Name"}),
        attributes=("Arn", "Type", "Value"),
        naming="Name",
        tags="map",
    ),
)
