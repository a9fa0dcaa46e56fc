"""CloudFormation's API on moto's endpoint: moto reads requests and writes answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ci.cloud import Cloud
from ci.local.aws_apis.cloudformation import change_set_actions as change_sets
from ci.local.aws_apis.cloudformation import reading_actions as reading
from ci.local.aws_apis.cloudformation import stack_actions as stacks
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.stacks import Store

Action = Callable[[Store, Mapping[str, Any]], dict[str, Any]]

ACTIONS: Mapping[str, Action] = {
    "CreateChangeSet": change_sets.create_change_set,
    "CreateStack": stacks.create_stack,
    "DeleteChangeSet": change_sets.delete_change_set,
    "DeleteStack": stacks.delete_stack,
    "DescribeChangeSet": change_sets.describe_change_set,
    "DescribeStackEvents": reading.describe_stack_events,
    "DescribeStackResource": reading.describe_stack_resource,
    "DescribeStackResources": reading.describe_stack_resources,
    "DescribeStacks": reading.describe_stacks,
    "ExecuteChangeSet": change_sets.execute_change_set,
    "GetStackPolicy": stacks.get_stack_policy,
    "GetTemplate": reading.get_template,
    "GetTemplateSummary": reading.get_template_summary,
    "ListChangeSets": change_sets.list_change_sets,
    "ListExports": reading.list_exports,
    "ListImports": reading.list_imports,
    "ListStackResources": reading.list_stack_resources,
    "ListStacks": reading.list_stacks,
    "SetStackPolicy": stacks.set_stack_policy,
    "UpdateStack": stacks.update_stack,
    "UpdateTerminationProtection": stacks.update_termination_protection,
    "ValidateTemplate": reading.validate_template,
}


_UNSERVED = (
    "DeploymentConfig", "DeploymentMode", "ImportExistingResources", "ResourceTypes",
    "ResourcesToImport", "RollbackConfiguration", "StackPolicyDuringUpdateBody",
    "StackPolicyDuringUpdateURL", "StackPolicyURL",
)  # fmt: skip
"""Arguments that would change what an action does, and that nothing here carries out."""


def answer(store: Store, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What an action answers. Raises Refused."""
    if name not in ACTIONS:
        what = f"The local cloud's CloudFormation does not know {name}."
        raise Refused(what, "InvalidAction")
    for argument in _UNSERVED:
        if asked.get(argument) not in (None, False, "false", [], {}, ""):
            raise Refused(f"The local cloud's CloudFormation does not know {argument}.")
    return ACTIONS[name](store, asked)


class Engines:
    """The engine of each region, made when it is first asked."""

    def __init__(self, cloud: Callable[[str], Cloud]) -> None:
        self._cloud = cloud
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    def store(self, region: str) -> Store:
        with self._lock:
            if region not in self._stores:
                self._stores[region] = Store(self._cloud(region))
            return self._stores[region]

    def resources(self, region: str) -> dict[str, dict[str, Any]]:
        """Stack → logical id → Type, PhysicalResourceId, Properties (resolved), Attributes."""
        return {
            stack.name: {
                name: {
                    "Type": each.type,
                    "PhysicalResourceId": each.physical_id,
                    "Properties": each.properties,
                    "Attributes": each.attributes,
                    "Tags": each.tags,
                }
                for name, each in list(stack.resources.items())
            }
            for stack in self.store(region)
            if stack.alive
        }


def install(cloud: Callable[[str], Cloud]) -> Engines:
    """Puts our API in the place of moto's."""
    from moto.cloudformation import urls
    from moto.core.exceptions import ServiceException
    from moto.core.responses import ActionResult, BaseResponse

    engines = Engines(cloud)

    class Refusal(ServiceException):
        """Of our own module: moto looks for the errors of a service by its exception's module."""

    class CloudFormation(BaseResponse):
        """One request."""

        def __init__(self) -> None:
            super().__init__(service_name="cloudformation")
            self.automated_parameter_parsing = True

        def call_action(self) -> Any:
            result: object
            try:
                result = answer(engines.store(self.region), self._get_action(), self.params)
            except Refused as error:
                result = Refusal(error.code, str(error))
            status, headers, body = self.serialized(ActionResult(result))
            headers, body = self._enrich_response(headers, body)
            # An XML reader takes a bare carriage return for a line end: templates may hold some.
            return status, headers, body.replace("\r", "&#13;")

    urls.url_paths["{0}/$"] = CloudFormation.dispatch
    return engines
