"""What CreateChangeSet, CreateStack and UpdateStack are asked for, judged before anything happens.

Source: AWS CloudFormation API Reference, CreateChangeSet, CreateStack, UpdateStack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ci.local.aws_apis.cloudformation import inputs, locations, template, transforms
from ci.local.aws_apis.cloudformation.evaluate import Scope, conditions
from ci.local.aws_apis.cloudformation.lookups import Lookups, parameter, values
from ci.local.aws_apis.cloudformation.order import wishes
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.resources import KINDS
from ci.local.aws_apis.cloudformation.stacks import Request, Stack, Store
from ci.local.aws_apis.cloudformation.template import Template

_NAMED = "CAPABILITY_NAMED_IAM"
_EXPAND = "CAPABILITY_AUTO_EXPAND"


def given(store: Store, stack: Stack | None, asked: Mapping[str, Any]) -> Request:
    """The request of an API call; ``stack`` is what it is to change. Raises Refused."""
    found = given_template(store, asked, stack)
    kept = stack.request if stack else None
    looked_up = inputs.values(
        found.declared,
        asked.get("Parameters") or [],
        kept.inputs if kept else None,
        lambda name: parameter(store, name),
    )
    tags = asked.get("Tags")
    if tags is None:
        wanted = dict(kept.tags) if kept else {}
    else:
        wanted = {str(each["Key"]): str(each["Value"]) for each in tags}
    role = str(asked.get("RoleARN") or (kept.role if kept else ""))
    judge_role(store, role)
    notifications = asked.get("NotificationARNs")
    if notifications is None:
        notifications = kept.notifications if kept else ()
    request = Request(
        found, looked_up, wanted, tuple(map(str, asked.get("Capabilities") or ())), role,
        tuple(map(str, notifications)),
    )  # fmt: skip
    judge_rules(store, request)
    return request


def given_template(store: Store, asked: Mapping[str, Any], stack: Stack | None = None) -> Template:
    """The template of an API call. Raises Refused."""
    body, url = asked.get("TemplateBody"), asked.get("TemplateURL")
    if asked.get("UsePreviousTemplate") in (True, "true"):
        if body or url:
            raise Refused(
                "You cannot specify both usePreviousTemplate and Template Body/Template URL."
            )
        if stack is None or not stack.request.template.text:
            raise Refused("There is no previous template.")
        return template.read(stack.request.template.text)
    if bool(body) == bool(url):
        raise Refused("Either Template URL or Template Body must be specified.")
    if url:
        return template.read(locations.text(str(url), store, template.URL_BYTES))
    size = len(str(body).encode())
    if size > template.BODY_BYTES:
        raise Refused(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {template.BODY_BYTES}"
        )
    return template.read(str(body))


def transformed(store: Store, name: str, stack_id: str, request: Request) -> Request:
    """With the template's transforms carried out, and judged. Raises Refused."""
    known = {key: _flat(value) for key, value in values(store, name, stack_id, request).items()}

    def fetched(url: str) -> str:
        return locations.text(url, store, template.URL_BYTES)

    done = transforms.processed(request.template, known, store.cloud.region, fetched)
    request = replace(request, template=done)
    template.judge(done.plain, KINDS)
    decided = conditions(done.plain, values(store, name, stack_id, request), Lookups(store))
    wishes(done.plain, decided)
    judge_capabilities(done, request.capabilities)
    return request


def _flat(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def judge_expansion(request: Request) -> None:
    """Transforms need the caller's consent where no change set shows what they make."""
    if transforms.uses(request.template) and _EXPAND not in request.capabilities:
        raise Refused(f"Requires capabilities : [{_EXPAND}]", "InsufficientCapabilitiesException")


def judge_capabilities(found: Template, capabilities: tuple[str, ...]) -> None:
    """IAM's resources need the caller's consent.

    Source: AWS CloudFormation API Reference, CreateChangeSet, parameter Capabilities.
    """
    needed = required_capabilities(found)
    if needed and not {needed[0], _NAMED} & set(capabilities):
        raise Refused(f"Requires capabilities : [{needed[0]}]", "InsufficientCapabilitiesException")


def required_capabilities(found: Template) -> list[str]:
    """What a template needs of CAPABILITY_IAM and CAPABILITY_NAMED_IAM: none or one."""
    needed = ""
    for resource in found.resources.values():
        kind = KINDS.get(str(resource.get("Type")))
        if kind and kind.capability:
            named = kind.naming and kind.naming in (resource.get("Properties") or {})
            needed = _NAMED if named or needed == _NAMED else kind.capability
    return [needed] if needed else []


def judge_rules(store: Store, request: Request) -> None:
    """The template's rules about its parameters. Raises Refused.

    Source: AWS CloudFormation User Guide, "Rules section syntax reference".
    """
    known = values(store, "", "", request)
    scope = Scope(request.template.document, known, Lookups(store))
    for name, rule in (request.template.document.get("Rules") or {}).items():
        if "RuleCondition" in rule and not scope.holds(rule["RuleCondition"]):
            continue
        for assertion in rule.get("Assertions", []):
            if not scope.holds(assertion["Assert"]):
                told = assertion.get("AssertDescription", "assertion is false")
                raise Refused(f"Template error: Rule {name}: Assertion failed: {told}")


def judge_role(store: Store, arn: str) -> None:
    """A role must be there, and let CloudFormation take it. Raises Refused.

    Source: AWS CloudFormation User Guide, "CloudFormation service role".
    """
    if not arn:
        return
    client = store.client("iam")
    refused = Refused(f"Role {arn} is invalid or cannot be assumed")
    try:
        role = client.get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except client.exceptions.ClientError as error:
        raise refused from error
    if role["Arn"] != arn or "cloudformation.amazonaws.com" not in str(
        role["AssumeRolePolicyDocument"]
    ):
        raise refused
