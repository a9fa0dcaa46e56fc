"""``/_local/``: what the pipeline's own parts tell the local cloud and ask of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from kit.local_cloud import LocalCloud, deploy


def ask(cloud: LocalCloud, method: str, path: str, body: Any = None) -> httpx.Response:
    url = f"{cloud.cloud.endpoint}/_local/{path}"
    return httpx.request(method, url, json=body, trust_env=False)


def test_the_newest_function_host_counts_and_each_removes_only_itself(cloud: LocalCloud) -> None:
    one, two = {"url": "http://127.0.0.1:1/"}, {"url": "http://127.0.0.1:2"}
    assert ask(cloud, "GET", "function-host").json() == {"url": ""}
    assert ask(cloud, "PUT", "function-host", one).status_code == 204
    assert ask(cloud, "GET", "function-host").json() == {"url": "http://127.0.0.1:1"}
    ask(cloud, "PUT", "function-host", two)
    assert ask(cloud, "DELETE", "function-host", one).status_code == 404
    assert ask(cloud, "GET", "function-host").json() == two
    assert ask(cloud, "DELETE", "function-host", two).status_code == 204
    assert ask(cloud, "GET", "function-host").json() == {"url": ""}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "function-host", {"uri": "x"}, 400),
        ("PUT", "function-host", ["x"], 400),
        ("PUT", "registry", {"host": 5}, 400),
        ("DELETE", "function-host", None, 400),
        ("GET", "nothing", None, 404),
        ("POST", "health", None, 404),
        ("GET", "stacks/nobody/resources", None, 404),
    ],
)
def test_requests_that_are_none(
    cloud: LocalCloud, method: str, path: str, body: Any, status: int
) -> None:
    answer = ask(cloud, method, path, body)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_stacks_and_their_resources_resolved(cloud: LocalCloud) -> None:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "q-${pName}"}}}
    template = {"Parameters": {"pName": {"Type": "String"}}, "Resources": {"rIt": queue}}
    deploy(cloud, "asked", template, {"pName": "one"}, Tags=[{"Key": "t", "Value": "1"}])
    found = ask(cloud, "GET", "stacks/asked/resources").json()
    url = cloud.client("sqs").get_queue_url(QueueName="q-one")["QueueUrl"]
    assert found == {
        "rIt": {
            "Type": "AWS::SQS::Queue",
            "PhysicalResourceId": url,
            "Properties": {"QueueName": "q-one"},
            "Attributes": {
                "Arn": "arn:aws:sqs:us-east-1:123456789012:q-one",
                "QueueName": "q-one",
                "QueueUrl": url,
            },
            "Tags": {"t": "1"},
        }
    }
    assert ask(cloud, "GET", "stacks").json()["asked"] == found
    assert ask(cloud, "GET", "stacks?region=eu-west-1").json() == {}
