"""AWS::Glue: databases, jobs.

Source: AWS CloudFormation Template Reference, "AWS Glue".
"""

from __future__ import annotations

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, removed

_GONE = "EntityNotFoundException"


def _create_database(work: Work) -> Product:
    given = dict(work.properties["DatabaseInput"])
    given.setdefault("Name", work.properties.get("DatabaseName") or work.name().lower())
    arguments = work.given("CatalogId")
    work.call("glue", "create_database", DatabaseInput=given, **arguments)
    return Product(str(given["Name"]))


def _update_database(work: Work) -> Product:
    given = {"Name": work.physical_id, **work.properties["DatabaseInput"]}
    work.call("glue", "update_database", Name=work.physical_id, DatabaseInput=given,
              **work.given("CatalogId"))  # fmt: skip
    return Product(work.physical_id)


def _delete_database(work: Work) -> None:
    with work.absent("glue", _GONE):
        work.call("glue", "delete_database", Name=work.physical_id)


_JOB = (
    "AllocatedCapacity", "Command", "Connections", "DefaultArguments", "Description",
    "ExecutionClass", "ExecutionProperty", "GlueVersion", "JobMode", "JobRunQueuingEnabled",
    "LogUri", "MaintenanceWindow", "MaxCapacity", "MaxRetries", "NonOverridableArguments",
    "NotificationProperty", "NumberOfWorkers", "Role", "SecurityConfiguration", "Timeout",
    "WorkerType",
)  # fmt: skip


def _create_job(work: Work) -> Product:
    name = work.properties.get("Name") or work.name()
    given = work.given(*_JOB)
    if work.tags:
        given["Tags"] = dict(work.tags)
    work.call("glue", "create_job", Name=name, **given)
    return Product(name)


def _update_job(work: Work) -> Product:
    name = work.physical_id
    if work.changed(*_JOB):
        work.call("glue", "update_job", JobName=name, JobUpdate=work.given(*_JOB))
    if differ(work):
        arn = work.arn("glue", f"job/{name}")
        if gone := removed(work):
            work.call("glue", "untag_resource", ResourceArn=arn, TagsToRemove=gone)
        if work.tags:
            work.call("glue", "tag_resource", ResourceArn=arn, TagsToAdd=dict(work.tags))
    return Product(name)


def _delete_job(work: Work) -> None:
    with work.absent("glue", _GONE):
        work.call("glue", "delete_job", JobName=work.physical_id)


KINDS = (
    Kind(
        type="AWS::Glue::Database",
        create=_create_database,
        update=_update_database,
        delete=_delete_database,
        honoured=frozenset({"CatalogId", "DatabaseInput", "DatabaseName"}),
        required=("CatalogId", "DatabaseInput"),
        replaced=frozenset({"CatalogId", "DatabaseInput.Name", "DatabaseName"}),
    ),
    Kind(
        type="AWS::Glue::Job",
        create=_create_job,
        update=_update_job,
        delete=_delete_job,
        honoured=frozenset({*_JOB, "Name"}),
        required=("Command", "Role"),
        replaced=frozenset({"Name"}),
        naming="Name",
        tags="map",
    ),
)
