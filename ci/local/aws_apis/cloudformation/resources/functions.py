"""AWS::Lambda::Function.

Source: AWS CloudFormation Template Reference, "AWS::Lambda::Function"; defaults from the AWS
Lambda API Reference, CreateFunction.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, removed

_GONE = "ResourceNotFoundException"
_DEFAULTS: dict[str, Any] = {
    "DeadLetterConfig": {"TargetArn": ""},
    "Description": "",
    "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512},
    "FileSystemConfigs": [],
    "Handler": None,
    "ImageConfig": {},
    "KmsKeyArn": "",
    "Layers": [],
    "LoggingConfig": {"LogFormat": "Text"},
    "MemorySize": 128,
    "Role": None,
    "Runtime": None,
    "SnapStart": {"ApplyOn": "None"},
    "Timeout": 3,
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}
"""Configuration, and what it is where the template says nothing; None: only if it says so."""


def _create(work: Work) -> Product:
    name = work.properties.get("FunctionName") or work.name(64)
    given = work.given(*_DEFAULTS, "Architectures", "PackageType", "CodeSigningConfigArn")
    if work.tags:
        given["Tags"] = dict(work.tags)
    function = work.call("lambda", "create_function", FunctionName=name, Code=_code(work), **given)
    made = work.begin(Product(name, {"Arn": function["FunctionArn"]}))
    _reserve(work, name)
    return made


def _update(work: Work) -> Product:
    name, arn = work.physical_id, str(work.attributes["Arn"])
    # Configuration first, as CloudFormation does: a new handler comes with its code.
    changed: dict[str, Any] = {}
    for key, default in _DEFAULTS.items():
        if work.changed(key):
            value = work.properties.get(key, default)
            if value is not None:
                changed[key] = value
    if changed:
        work.call("lambda", "update_function_configuration", FunctionName=name, **changed)
    if work.changed("Code", "Architectures"):
        work.call("lambda", "update_function_code", FunctionName=name, **_code(work),
                  **work.given("Architectures"))  # fmt: skip
    if work.changed("ReservedConcurrentExecutions"):
        _reserve(work, name)
    if differ(work):
        if gone := removed(work):
            work.call("lambda", "untag_resource", Resource=arn, TagKeys=gone)
        if work.tags:
            work.call("lambda", "tag_resource", Resource=arn, Tags=dict(work.tags))
    return Product(name, work.attributes)


def _code(work: Work) -> dict[str, Any]:
    code = dict(work.properties["Code"])
    if isinstance(text := code.get("ZipFile"), str):
        code["ZipFile"] = _inline(text, str(work.properties.get("Runtime", "")))
    return code


def _inline(text: str, runtime: str) -> bytes:
    """CloudFormation puts inline code into ``index.js`` or ``index.py``."""
    suffix = "js" if runtime.startswith("nodejs") else "py"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"index.{suffix}", text)
    return buffer.getvalue()


def _reserve(work: Work, name: str) -> None:
    reserved = work.properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        work.call("lambda", "put_function_concurrency", FunctionName=name,
                  ReservedConcurrentExecutions=reserved)  # fmt: skip
    elif "ReservedConcurrentExecutions" in work.before:
        work.call("lambda", "delete_function_concurrency", FunctionName=name)


def _delete(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_function", FunctionName=work.physical_id)


KINDS = (
    Kind(
        type="AWS::Lambda::Function",
        create=_create,
        update=_update,
        delete=_delete,
        honoured=frozenset(
            {
                *_DEFAULTS, "Architectures", "Code", "CodeSigningConfigArn", "FunctionName",
                "PackageType", "ReservedConcurrentExecutions",
            }
        ),
        ignored={
            "RecursiveLoop": "a loop of functions costs nothing here",
            "RuntimeManagementConfig": "the runtime is the image's",
        },
        unmade=frozenset(
            {
                "CapacityProviderConfig", "DurableConfig", "FunctionScalingConfig",
                "PublishToLatestPublished", "TenancyConfig",
            }
        ),
        required=("Code", "Role"),
        replaced=frozenset({"FunctionName", "PackageType"}),
        attributes=("Arn",),
        naming="FunctionName",
        tags="list",
    ),
)  # fmt: skip
