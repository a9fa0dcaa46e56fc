"""What a template's expressions find outside of it, and in its stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ci.local.aws_apis.cloudformation.evaluate import Scope, conditions
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.stacks import Request, Resource, Stack, Store
from ci.local.aws_apis.cloudformation.values import Unknown


class Lookups:
    """Other stacks' exports, which it notes in ``imports``, and parameters of SSM."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.imports: set[str] = set()

    def export(self, name: str) -> str:
        found = self._store.exports().get(name)
        if found is None:
            raise Refused(f"No export named {name} found.")
        self.imports.add(name)
        return found[1].value

    def dynamic(self, service: str, key: str) -> str:
        if service == "secretsmanager":
            return self._secret(key)
        return parameter(self._store, key)

    def zones(self, region: str) -> list[str]:
        """No API is asked: what a template makes of zones, moto does not look at."""
        return [f"{region}{letter}" for letter in "abc"]

    def _secret(self, key: str) -> str:
        """``name:SecretString:json-key:stage:version``, or an ARN in place of the name."""
        if key.startswith("arn:"):
            name, parts = ":".join(key.split(":")[:7]), key.split(":")[7:]
        else:
            name, *parts = key.split(":")
        client = self._store.client("secretsmanager")
        try:
            text = str(client.get_secret_value(SecretId=name)["SecretString"])
        except client.exceptions.ClientError as error:
            raise Refused(error.response["Error"]["Message"]) from error
        if len(parts) < 2 or not parts[1]:
            return text
        try:
            return str(json.loads(text)[parts[1]])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                f"Could not find a value associated with JSONKey {parts[1]} in SecretString"
            ) from error


def parameter(store: Store, name: str) -> str:
    """What an SSM parameter (``name`` or ``name:version``) holds. Raises Refused."""
    client = store.client("ssm")
    try:
        answer = client.get_parameter(Name=name, WithDecryption=True)
    except client.exceptions.ClientError as error:
        raise Refused(
            f"Unable to fetch parameters [{name}] from parameter store for this account."
        ) from error
    return str(answer["Parameter"]["Value"])


class Standing:
    """The resources of a stack by what was made of them; ``unsure`` are those still to come."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self.resources = resources
        self.unsure: set[str] = set()
        self.outputs_unsure: set[str] = set()

    def ref(self, name: str) -> Any:
        if name in self.unsure:
            return Unknown(frozenset({name}))
        return self._resource(name).physical_id

    def attribute(self, name: str, attribute: str) -> Any:
        if name in self.unsure or name in self.outputs_unsure:
            return Unknown(frozenset({name}))
        resource = self._resource(name)
        if attribute not in resource.attributes:
            if KINDS[resource.type].has_attribute(attribute):
                raise Refused(f"Attribute '{attribute}' of resource {name} does not exist")
            raise no_attribute(name, attribute)
        return resource.attributes[attribute]

    def _resource(self, name: str) -> Resource:
        if name not in self.resources:
            raise Refused(
                f"Template format error: Unresolved resource dependencies [{name}] in the "
                "Resources block of the template"
            )
        return self.resources[name]


def no_attribute(name: str, attribute: str) -> Refused:
    return Refused(
        f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
    )


def values(store: Store, name: str, stack_id: str, request: Request) -> dict[str, Any]:
    """What parameters and pseudo parameters are in a stack."""
    return {
        **store.cloud.pseudo_parameters(name),
        "AWS::StackId": stack_id,
        "AWS::NotificationARNs": list(request.notifications),
        **{key: each.meaning for key, each in request.inputs.items()},
    }


def scope(store: Store, stack: Stack, request: Request, made: Standing, outside: Lookups) -> Scope:
    """What expressions of a request's template mean in its stack. Raises Refused."""
    document = request.template.plain
    known = values(store, stack.name, stack.id, request)
    decided = conditions(document, known, outside)
    return Scope(document, known, outside, made, decided)
