"""The local cloud's AWS APIs, as a daemon of a test's own, and stacks put into it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.cloud import _LOCAL_CREDENTIALS, Cloud
from ci.home import Home
from ci.local.aws_apis import daemon
from ci.local.functions import ACCOUNT

REGION = "us-east-1"
ALL = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud."""

    home: Home
    cloud: Cloud

    def client(self, service: str) -> Any:
        return _client(self.cloud, service)


@functools.cache
def _client(cloud: Cloud, service: str) -> Any:
    """One for all tests: making it takes longer than most of what it is asked."""
    return cloud.client(service)


@contextlib.contextmanager
def running(directory: Path, registry_host: str | None = None) -> Iterator[LocalCloud]:
    """A local cloud with its home in ``directory``."""
    home = Home(directory)
    try:
        found = daemon.ensure(home, os.environ, registry_host=registry_host)
        yield LocalCloud(home, Cloud(ACCOUNT, REGION, "", _LOCAL_CREDENTIALS, found.port))
    finally:
        daemon.stop(home)


def change_set(
    cloud: LocalCloud,
    stack: str,
    template: str | dict[str, Any] | None = None,
    parameters: Mapping[str, str] | None = None,
    name: str = "c",
    **arguments: Any,
) -> dict[str, Any]:
    """A change set, once it is known what it would do: DescribeChangeSet's answer."""
    cloudformation = cloud.client("cloudformation")
    if isinstance(template, dict):
        template = json.dumps(template)
    if template is not None:
        arguments["TemplateBody"] = template
    arguments.setdefault("Capabilities", ALL)
    if parameters is not None:
        arguments["Parameters"] = _listed(parameters)
    made = cloudformation.create_change_set(StackName=stack, ChangeSetName=name, **arguments)
    return settled(lambda: cloudformation.describe_change_set(ChangeSetName=made["Id"]), "Status")


def execute(cloud: LocalCloud, stack: str, name: str = "c", **arguments: Any) -> dict[str, Any]:
    """Executes a change set; the stack afterwards."""
    cloud.client("cloudformation").execute_change_set(
        StackName=stack, ChangeSetName=name, **arguments
    )
    return after(cloud, stack)


def deploy(
    cloud: LocalCloud,
    stack: str,
    template: str | dict[str, Any] | None,
    parameters: Mapping[str, str] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """A stack made or changed by a change set; DescribeStacks's answer about it."""
    cloudformation = cloud.client("cloudformation")
    try:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError:
        status = ""
    kind = "CREATE" if status in ("", "REVIEW_IN_PROGRESS") else "UPDATE"
    made = change_set(cloud, stack, template, parameters, ChangeSetType=kind, **arguments)
    assert made["Status"] == "CREATE_COMPLETE", made.get("StatusReason")
    return execute(cloud, stack)


def delete(cloud: LocalCloud, stack: str, **arguments: Any) -> dict[str, Any]:
    """Deletes a stack; what is told of it afterwards."""
    cloudformation = cloud.client("cloudformation")
    stack_id = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=stack, **arguments)
    return after(cloud, stack_id)


def after(cloud: LocalCloud, stack: str) -> dict[str, Any]:
    """A stack, once nothing is in progress."""
    cloudformation = cloud.client("cloudformation")
    found: dict[str, Any] = settled(
        lambda: cloudformation.describe_stacks(StackName=stack)["Stacks"][0], "StackStatus"
    )
    return found


def settled(ask: Any, key: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask()
        status = found[key]
        waiting = status.endswith(("_IN_PROGRESS", "_PENDING")) or status == "RUNNING"
        if not waiting or status == "REVIEW_IN_PROGRESS":
            return found
        time.sleep(0.02)
    raise AssertionError(f"still {status} after {seconds} s")


def events(cloud: LocalCloud, stack: str) -> list[tuple[str, str, str]]:
    """Logical id, status and reason of every event, oldest first."""
    pages = cloud.client("cloudformation").get_paginator("describe_stack_events")
    found = [each for page in pages.paginate(StackName=stack) for each in page["StackEvents"]]
    return [
        (each["LogicalResourceId"], each["ResourceStatus"], each.get("ResourceStatusReason", ""))
        for each in reversed(found)
    ]


def changed(described: Mapping[str, Any]) -> dict[str, str]:
    """Logical id → action of a change set, with the replacement where there is one."""
    result = {}
    for each in described["Changes"]:
        change = each["ResourceChange"]
        told = change["Action"]
        if change.get("Replacement", "False") != "False":
            told += f" {change['Replacement']}"
        result[change["LogicalResourceId"]] = told
    return result


def _listed(parameters: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
