"""AWS::Lambda: what belongs to functions: permissions, event sources, asynchronous invocation,
layers, versions, aliases, URLs.

Source: AWS CloudFormation Template Reference, "AWS Lambda".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Failed, Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, removed

_GONE = "ResourceNotFoundException"


def _create_permission(work: Work) -> Product:
    statement = work.name(100)
    given = work.given(
        "Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType",
        "InvokedViaFunctionUrl", "Principal", "PrincipalOrgID", "SourceAccount", "SourceArn",
    )  # fmt: skip
    work.call("lambda", "add_permission", StatementId=statement, **given)
    return Product(statement, {"Id": statement})


def _delete_permission(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "remove_permission", FunctionName=work.properties["FunctionName"],
                  StatementId=work.physical_id)  # fmt: skip


_SOURCE = (
    "BatchSize", "BisectBatchOnFunctionError", "DestinationConfig", "Enabled", "EventSourceArn",
    "FilterCriteria", "FunctionName", "FunctionResponseTypes", "KmsKeyArn",
    "MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts",
    "ParallelizationFactor", "ScalingConfig", "StartingPosition", "StartingPositionTimestamp",
    "TumblingWindowInSeconds",
)  # fmt: skip


def _create_source(work: Work) -> Product:
    _judge_queue(work)
    given = work.given(*_SOURCE)
    if work.tags:
        given["Tags"] = dict(work.tags)
    mapping = work.call("lambda", "create_event_source_mapping", **given)
    arn = work.arn("lambda", f"event-source-mapping:{mapping['UUID']}")
    return Product(mapping["UUID"], {"EventSourceMappingArn": arn, "Id": mapping["UUID"]})


def _update_source(work: Work) -> Product:
    _judge_queue(work)
    unchangeable = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")
    given = work.given(*(name for name in _SOURCE if name not in unchangeable))
    defaults: dict[str, Any] = {
        "BatchSize": 10, "Enabled": True, "FilterCriteria": {}, "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0, "ScalingConfig": {},
    }  # fmt: skip
    given = {name: defaults[name] for name in defaults if name in work.before} | given
    work.call("lambda", "update_event_source_mapping", UUID=work.physical_id, **given)
    return Product(work.physical_id, work.attributes)


def _judge_queue(work: Work) -> None:
    """As Lambda does for queues.

    Source: AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source
    mapping": the queue's visibility time-out, and the batch sizes of standard and FIFO queues.
    """
    source = str(work.properties.get("EventSourceArn", ""))
    if source.split(":")[2:3] != ["sqs"]:
        return
    queue = source.rsplit(":", maxsplit=1)[-1]
    size = int(work.properties.get("BatchSize", 10))
    window = int(work.properties.get("MaximumBatchingWindowInSeconds", 0))
    if queue.endswith(".fifo") and (size > 10 or window):
        raise Failed(
            "BatchSize of a FIFO queue is at most 10, and MaximumBatchingWindowInSeconds is not "
            "supported for one"
        )
    if size > 10 and not window:
        raise Failed(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10"
        )
    url = work.call("sqs", "get_queue_url", QueueName=queue)["QueueUrl"]
    asked = work.call("sqs", "get_queue_attributes", QueueUrl=url,
                      AttributeNames=["VisibilityTimeout"])["Attributes"]  # fmt: skip
    function = work.call("lambda", "get_function_configuration",
                         FunctionName=work.properties["FunctionName"])  # fmt: skip
    visible, limit = int(asked["VisibilityTimeout"]), int(function["Timeout"])
    if visible < limit:
        raise Failed(
            f"Queue visibility timeout: {visible} seconds is less than Function timeout: "
            f"{limit} seconds"
        )


def _delete_source(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_event_source_mapping", UUID=work.physical_id)


_ASYNC = ("DestinationConfig", "MaximumEventAgeInSeconds", "MaximumRetryAttempts")


def _put_async(work: Work) -> Product:
    name = work.properties["FunctionName"]
    work.call("lambda", "put_function_event_invoke_config", FunctionName=name,
              Qualifier=work.properties["Qualifier"], **work.given(*_ASYNC))  # fmt: skip
    return Product(work.physical_id or f"{name}|{work.properties['Qualifier']}")


def _delete_async(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_function_event_invoke_config",
                  FunctionName=work.properties["FunctionName"],
                  Qualifier=work.properties["Qualifier"])  # fmt: skip


_LAYER = (
    "CompatibleArchitectures", "CompatibleRuntimes", "Content", "Description", "LicenseInfo",
)  # fmt: skip


def _create_layer(work: Work) -> Product:
    name = work.properties.get("LayerName") or work.name(64)
    layer = work.call("lambda", "publish_layer_version", LayerName=name, **work.given(*_LAYER))
    arn = layer["LayerVersionArn"]
    return Product(arn, {"LayerVersionArn": arn})


def _delete_layer(work: Work) -> None:
    name, version = work.physical_id.split(":")[-2:]
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_layer_version", LayerName=name, VersionNumber=version)


def _create_version(work: Work) -> Product:
    given = work.given("CodeSha256", "Description", "FunctionName")
    version = work.call("lambda", "publish_version", **given)
    arn = version["FunctionArn"]
    return Product(arn, {"FunctionArn": arn, "Version": version["Version"]})


def _delete_version(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_function", FunctionName=work.properties["FunctionName"],
                  Qualifier=work.attributes["Version"])  # fmt: skip


_ALIAS = ("Description", "FunctionName", "FunctionVersion", "Name", "RoutingConfig")


def _create_alias(work: Work) -> Product:
    arn = work.call("lambda", "create_alias", **work.given(*_ALIAS))["AliasArn"]
    return Product(arn, {"AliasArn": arn})


def _update_alias(work: Work) -> Product:
    work.call("lambda", "update_alias", **work.given(*_ALIAS))
    return Product(work.physical_id, work.attributes)


def _delete_alias(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_alias", **work.given("FunctionName", "Name"))


_URL = ("AuthType", "Cors", "InvokeMode", "Qualifier")


def _create_url(work: Work) -> Product:
    function = work.properties["TargetFunctionArn"]
    url = work.call("lambda", "create_function_url_config", FunctionName=function,
                    **work.given(*_URL))  # fmt: skip
    arn, where = url["FunctionArn"], url["FunctionUrl"]
    return Product(arn, {"FunctionArn": arn, "FunctionUrl": where})


def _update_url(work: Work) -> Product:
    work.call("lambda", "update_function_url_config",
              FunctionName=work.properties["TargetFunctionArn"], **work.given(*_URL))  # fmt: skip
    return Product(work.physical_id, work.attributes)


def _delete_url(work: Work) -> None:
    with work.absent("lambda", _GONE):
        work.call("lambda", "delete_function_url_config",
                  FunctionName=work.properties["TargetFunctionArn"])  # fmt: skip


def _tagged_source(work: Work) -> Product:
    product = _update_source(work)
    if differ(work):
        arn = str(work.attributes["EventSourceMappingArn"])
        if gone := removed(work):
            work.call("lambda", "untag_resource", Resource=arn, TagKeys=gone)
        if work.tags:
            work.call("lambda", "tag_resource", Resource=arn, Tags=dict(work.tags))
    return product


KINDS = (
    Kind(
        type="AWS::Lambda::Permission",
        create=_create_permission,
        delete=_delete_permission,
        honoured=frozenset(
            {
                "Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType",
                "InvokedViaFunctionUrl", "Principal", "PrincipalOrgID", "SourceAccount",
                "SourceArn",
            }
        ),
        required=("Action", "FunctionName", "Principal"),
        attributes=("Id",),
    ),
    Kind(
        type="AWS::Lambda::EventSourceMapping",
        create=_create_source,
        update=_tagged_source,
        delete=_delete_source,
        honoured=frozenset(_SOURCE),
        required=("FunctionName",),
        unmade=frozenset(
            {
                "AmazonManagedKafkaEventSourceConfig", "DocumentDBEventSourceConfig",
                "LoggingConfig", "MetricsConfig", "ProvisionedPollerConfig", "Queues",
                "SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig",
                "SourceAccessConfigurations", "Topics",
            }
        ),
        replaced=frozenset(
            {"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"}
        ),
        attributes=("EventSourceMappingArn", "Id"),
        tags="list",
    ),
    Kind(
        type="AWS::Lambda::EventInvokeConfig",
        create=_put_async,
        update=_put_async,
        delete=_delete_async,
        honoured=frozenset({*_ASYNC, "FunctionName", "Qualifier"}),
        required=("FunctionName", "Qualifier"),
        replaced=frozenset({"FunctionName", "Qualifier"}),
    ),
    Kind(
        type="AWS::Lambda::LayerVersion",
        create=_create_layer,
        delete=_delete_layer,
        honoured=frozenset({*_LAYER, "LayerName"}),
        required=("Content",),
        attributes=("LayerVersionArn",),
    ),
    Kind(
        type="AWS::Lambda::Version",
        create=_create_version,
        delete=_delete_version,
        honoured=frozenset({"CodeSha256", "Description", "FunctionName"}),
        ignored={
            "FunctionScalingConfig": "concerns capacity, which is this machine's",
            "ProvisionedConcurrencyConfig": "concerns capacity, which is this machine's",
            "RuntimePolicy": "the runtime is the image's",
        },
        required=("FunctionName",),
        attributes=("FunctionArn", "Version"),
    ),
    Kind(
        type="AWS::Lambda::Alias",
        create=_create_alias,
        update=_update_alias,
        delete=_delete_alias,
        honoured=frozenset(_ALIAS),
        ignored={
            "ProvisionedConcurrencyConfig": "concerns capacity, which is this machine's",
        },
        required=("FunctionName", "FunctionVersion", "Name"),
        replaced=frozenset({"FunctionName", "Name"}),
        attributes=("AliasArn",),
    ),
    Kind(
        type="AWS::Lambda::Url",
        create=_create_url,
        update=_update_url,
        delete=_delete_url,
        honoured=frozenset({*_URL, "TargetFunctionArn"}),
        required=("AuthType", "TargetFunctionArn"),
        replaced=frozenset({"Qualifier", "TargetFunctionArn"}),
        attributes=("FunctionArn", "FunctionUrl"),
    ),
)  # fmt: skip
