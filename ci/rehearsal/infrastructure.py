"""The infrastructure stack: read with the plan, deployed by a change set, as its first user would.

Its parameters have the form of CodePipeline's template configuration files.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.deploy import change_sets, events, found, states
from ci.deploy.change_sets import ChangeSet, Wanted
from ci.deploy.desk import Desk
from ci.deploy.outcome import StackOutcome
from ci.deploy.stack import failed
from ci.errors import InputError, InputErrors, PipelineError
from ci.package import parameters
from ci.settings import Settings

STACK = "datalake-infra-resources"
TEMPLATE = "codepipeline/codepipeline.yaml"
LARGEST = 51_200
"""Bytes of a template in a request. Source: AWS CloudFormation quotas: there is no bucket yet."""
_CAPABILITIES = ("CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM")
_PREFIX = "pPrefix"


@dataclass(frozen=True)
class Infrastructure:
    """The stack as the source tree has it."""

    template: Path
    text: str
    values: Mapping[str, str]
    tags: Mapping[str, str]
    policy: str

    @property
    def prefix(self) -> str:
        """The environment that it is for."""
        return self.values.get(_PREFIX, "")

    @property
    def branch(self) -> str:
        """The branch whose pushes are built."""
        return self.values.get("pBranchName", "main")


def declared(source: Path) -> bool:
    """Whether a source tree declares its pipelines."""
    return (source / TEMPLATE).is_file()


def as_rehearsed(settings: Settings) -> Settings:
    """The settings for what a rehearsal has left: its environment, where none is named."""
    path = settings.source / Path(TEMPLATE).with_name(parameters.FILE)
    if settings.target != "local" or settings.origins["prefix"] != "default":
        return settings
    if not (declared(settings.source) and (values := parameters.read(path, []))):
        return settings
    if not (prefix := values.values.get(_PREFIX)):
        return settings
    return replace(settings, prefix=prefix, origins={**settings.origins, "prefix": str(path)})


def read(settings: Settings) -> Infrastructure:
    """The stack of a source tree. Raises InputErrors with all that is wrong."""
    template = settings.source / TEMPLATE
    problems: list[InputError] = []
    values = parameters.read(template.parent / parameters.FILE, problems)
    document: Mapping[str, Any] = {}
    text = ""
    try:
        text = template.read_text(encoding="utf-8")
        document = cfn_yaml.load(text)
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 (byte {error.start})"
        problems.append(InputError(str(template), what, "save it as UTF-8"))
    except cfn_yaml.CfnYamlError as error:
        fix = "mend it; `cfn-lint` shows more"
        problems.append(InputError(f"{template}:{error.line}", f"is no template: {error}", fix))
    if len(text.encode()) > LARGEST:
        what = (
            f"has {len(text.encode())} bytes; a request takes {LARGEST}, and no bucket is there yet"
        )
        problems.append(InputError(str(template), what, "say it shorter, or with Fn::ForEach"))
    if problems or values is None:
        raise InputErrors(problems)
    given = dict(values.values)
    if settings.origins["prefix"] != "default":
        given[_PREFIX] = settings.prefix
    parameters.judge(given, document.get("Parameters") or {}, str(values.path), problems)
    if problems:
        raise InputErrors(problems)
    also = json.loads(values.text)
    policy = also.get("StackPolicy")
    return Infrastructure(
        template, text, given, also.get("Tags") or {}, json.dumps(policy) if policy else ""
    )


async def deploy(desk: Desk, stack: Infrastructure) -> StackOutcome:
    """Deploys the stack; how it went, an error included."""
    began = time.monotonic()
    ended = StackOutcome(STACK, "failed", template=str(stack.template), parameters=stack.values)
    try:
        change_set = await _executed(desk, stack)
        there = await found.stack(desk, STACK)
        ended = replace(
            ended,
            status="unchanged"
            if not change_set
            else "created"
            if change_set.creates
            else "updated",
            changes=change_set.changes if change_set else (),
            outputs=dict(there.outputs) if there else {},
        )
    except PipelineError as error:
        # No InputError: the local cloud is at work.
        ended = replace(ended, error=PipelineError(error.where, error.what, error.fix))
    return replace(ended, seconds=time.monotonic() - began)


async def _executed(desk: Desk, stack: Infrastructure) -> ChangeSet | None:
    """The change set that was executed; None where nothing was to change. Raises PipelineError."""
    there = await found.stack(desk, STACK)
    if there and (refused := states.refusal(STACK, there.status)):
        raise refused
    wanted = Wanted(
        stack=STACK,
        template_url="",
        template_body=stack.text,
        parameters=stack.values,
        tags=stack.tags,
        capabilities=_CAPABILITIES,
        role="",
    )
    change_set = await change_sets.create(desk, wanted, there)
    if change_set is None:
        return None
    since = await events.newest(desk, change_set.stack_id)
    token = f"rehearsal-{uuid.uuid4()}"
    await change_sets.execute(desk, change_set, token)
    ending = await events.follow(desk, STACK, change_set.stack_id, since, token, lambda event: None)
    if not states.succeeded(ending.status):
        raise failed(STACK, ending)
    if policy := stack.policy:

        def protect(client: Any) -> None:
            client.set_stack_policy(StackName=STACK, StackPolicyBody=policy)

        await desk.stacks("SetStackPolicy", protect)
    return change_set
