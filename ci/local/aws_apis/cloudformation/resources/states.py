"""AWS::StepFunctions::StateMachine.

Source: AWS CloudFormation Template Reference, "AWS::StepFunctions::StateMachine".
"""

from __future__ import annotations

import json
import re
from typing import Any

from ci.cfn_parameters import as_text
from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_PLAIN = ("EncryptionConfiguration", "LoggingConfiguration", "RoleArn", "TracingConfiguration")


def _create(work: Work) -> Product:
    name = work.properties.get("StateMachineName") or work.name(80)
    arn = work.call("stepfunctions", "create_state_machine", name=name,
                    definition=_definition(work), tags=listed(work.tags, "key", "value"),
                    **work.given(*_PLAIN, type="StateMachineType"))["stateMachineArn"]  # fmt: skip
    return Product(arn, {"Arn": arn, "Name": name})


def _update(work: Work) -> Product:
    arn = work.physical_id
    work.call("stepfunctions", "update_state_machine", stateMachineArn=arn,
              definition=_definition(work), **work.given(*_PLAIN))  # fmt: skip
    if differ(work):
        if gone := removed(work):
            work.call("stepfunctions", "untag_resource", resourceArn=arn, tagKeys=gone)
        if work.tags:
            work.call("stepfunctions", "tag_resource", resourceArn=arn,
                      tags=listed(work.tags, "key", "value"))  # fmt: skip
    return Product(arn, work.attributes)


def _definition(work: Work) -> str:
    """The definition's text, ``${Name}`` of its substitutions filled in."""
    if text := work.properties.get("DefinitionString"):
        found = str(text)
    elif "Definition" in work.properties:
        found = json.dumps(work.properties["Definition"])
    elif isinstance(place := work.properties.get("DefinitionS3Location"), dict):
        found = _fetched(work, place)
    else:
        raise Failed("Property DefinitionS3Location, DefinitionString or Definition is needed; "
                     "DefinitionS3Location is an object of Bucket and Key")  # fmt: skip
    given = work.properties.get("DefinitionSubstitutions", {})
    for name, value in given.items():
        found = found.replace(f"${{{name}}}", _inside_json(value))
    if left := re.search(r"\$\{(\w+)\}", found):
        raise Failed(f"The definition has {left.group()}, which DefinitionSubstitutions does not")
    return found


def _inside_json(value: Any) -> str:
    """A value as it stands inside of a JSON text."""
    return json.dumps(as_text(value))[1:-1]


def _fetched(work: Work, place: dict[str, Any]) -> str:
    version = {"VersionId": place["Version"]} if place.get("Version") else {}
    answer = work.call("s3", "get_object", Bucket=place["Bucket"], Key=place["Key"], **version)
    body: bytes = answer["Body"].read()
    return body.decode()


def _delete(work: Work) -> None:
    with work.absent("stepfunctions", "StateMachineDoesNotExist"):
        work.call("stepfunctions", "delete_state_machine", stateMachineArn=work.physical_id)


KINDS = (
    Kind(
        type="AWS::StepFunctions::StateMachine",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset(
            {
                *_PLAIN, "Definition", "DefinitionS3Location", "DefinitionString",
                "DefinitionSubstitutions", "StateMachineName", "StateMachineType",
            }
        ),
        required=("RoleArn",),
        replaced=frozenset({"StateMachineName", "StateMachineType"}),
        attributes=("Arn", "Name"),
        naming="StateMachineName",
        tags="list",
    ),
)  # fmt: skip
