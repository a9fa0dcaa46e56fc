"""CodePipeline and EventBridge together: events start executions, executions wait for their turn.

Source: CodePipeline User Guide, "Set or change the pipeline execution mode", "Start a pipeline".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from ci.errors import PipelineError
from ci.local.codepipeline import emitted, performing, providers
from ci.local.codepipeline.declaration import Pipeline
from ci.local.codepipeline.deployed import Deployed
from ci.local.codepipeline.execution import Execution, Trigger
from ci.local.codepipeline.rules import Rule, Target
from ci.local.codepipeline.world import World


class Service:
    """The deployed pipelines at work. ``executions`` are all that there were, in order."""

    def __init__(self, deployed: Deployed, world: World) -> None:
        self._deployed, self._world = deployed, world
        self._waiting: deque[Execution] = deque()
        self._succeeded: dict[str, Mapping[str, str]] = {}
        self.executions: list[Execution] = []

    async def deliver(self) -> None:
        """Hands every event that has happened to the rules; targets are pipelines and topics.

        Raises PipelineError for a target that AWS would refuse.
        """
        while self._world.outbox:
            await self._hand_on(self._world.outbox.popleft())

    def start(self, pipeline: str, trigger: Trigger) -> Execution:
        """Puts an execution into the queue. In the mode SUPERSEDED, those that wait give way."""
        declared = self._deployed.pipelines[pipeline]
        execution = Execution(declared, trigger)
        if declared.mode == "SUPERSEDED":
            for other in [each for each in self._waiting if each.pipeline.name == pipeline]:
                other.status = "superseded"
                self._waiting.remove(other)
        self._waiting.append(execution)
        self.executions.append(execution)
        return execution

    def pushed(self, repository: str, branch: str, commit: str) -> None:
        """A push to a repository behind a connection, which starts its pipelines by itself."""
        for pipeline in self._deployed.pipelines.values():
            for action in pipeline.sources:
                given = action.configuration
                if (
                    action.provider == "CodeStarSourceConnection"
                    and given["FullRepositoryId"] == repository
                    and given["BranchName"] == branch
                    and given.get("DetectChanges", "true") == "true"
                ):
                    text = f"push of {commit[:7]} to {repository}"
                    self.start(pipeline.name, Trigger(text, {action.name: commit}))

    async def perform(self) -> list[Execution]:
        """Performs what waits, one after the other, until nothing does; what was performed.

        Ends with the first that fails: what waits behind it, waits on.
        """
        done = []
        while self._waiting:
            execution = self._waiting.popleft()
            done.append(execution)
            await self._one(execution)
            if execution.status == "failed":
                break
        return done

    async def _one(self, execution: Execution) -> None:
        name, world = execution.pipeline.name, self._world
        world.audience.say(f"pipeline {name}: {execution.trigger.text}")
        await self._tell(execution, "STARTED")
        before = None if execution.trigger.by_hand else self._succeeded.get(name)
        await performing.perform(execution, world, before)
        if execution.status == "repeated":
            world.audience.say(
                f"pipeline {name}: not repeated, its sources are those of the execution just before"
            )
        elif execution.status == "succeeded":
            self._succeeded[name] = dict(execution.revisions)
        await self._tell(execution, "FAILED" if execution.status == "failed" else "SUCCEEDED")

    async def _tell(self, execution: Execution, state: str) -> None:
        """The event of a change of an execution's state, delivered at once: others may wait."""
        await self._hand_on(emitted.pipeline_state(self._world, execution, state))

    async def _hand_on(self, event: Mapping[str, Any]) -> None:
        for rule in self._deployed.rules:
            if rule.matches(event):
                for target in rule.sent(event):
                    await self._send(rule, target, event)

    async def _send(self, rule: Rule, target: Target, event: Mapping[str, Any]) -> None:
        text = json.dumps(event) if target.input is None else target.input
        service = target.arn.split(":")[2] if target.arn.count(":") >= 5 else ""
        if service == "codepipeline":
            self._begin(rule, target, text, event)
        elif service == "sns":
            await self._publish(target.arn, text)
        else:
            self._world.audience.say(
                f"rule {rule.name}: {target.arn} would hear of it; the rehearsal knows topics and "
                "pipelines only"
            )

    def _begin(self, rule: Rule, target: Target, text: str, event: Mapping[str, Any]) -> None:
        where = f"rule {rule.name}"
        name = target.arn.rpartition(":")[2]
        if name not in self._deployed.pipelines:
            known = ", ".join(self._deployed.pipelines)
            raise PipelineError(where, f"starts {name}, which is no pipeline", f"name {known}")
        if not target.role:
            what = f"starts {name} without a role: EventBridge may not"
            raise PipelineError(where, what, "give its target a RoleArn")
        pipeline = self._deployed.pipelines[name]
        revisions = {} if target.input is None else _revisions(where, pipeline, text)
        self.start(name, Trigger(_told(event), revisions))

    async def _publish(self, arn: str, text: str) -> None:
        def asked(client: Any) -> None:
            client.publish(TopicArn=arn, Message=text)

        await self._world.desk.ask("sns", "sns:Publish", asked)
        topic = arn.rpartition(":")[2]
        self._world.audience.say(f"told to {topic}: {text}")


def _revisions(where: str, pipeline: Pipeline, text: str) -> dict[str, str]:
    """Revisions by source action, from a target's input. Raises PipelineError.

    Source: CodePipeline API Reference, StartPipelineExecution, ``sourceRevisions``.
    """
    fix = 'write {"sourceRevisions": [{"actionName": …, "revisionType": …, "revisionValue": …}]}'
    try:
        entries = json.loads(text).get("sourceRevisions", [])
        named = [
            (each["actionName"], each["revisionType"], each["revisionValue"]) for each in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"starts {pipeline.name} with an input that it does not take: {text.strip()}"
        raise PipelineError(where, what, fix) from error
    sources = {action.name: action for action in pipeline.sources}
    for action, kind, _ in named:
        if action not in sources:
            what = f"names the source action {action}, which {pipeline.name} does not have"
            raise PipelineError(where, what, f"it has {', '.join(sources)}")
        provider = providers.of(sources[action])
        if provider and provider.revision != kind:
            what = f"gives {action} a revision of the type {kind}"
            raise PipelineError(where, what, f"say {provider.revision}: it is what it takes")
    return {action: value for action, _, value in named}


def _told(event: Mapping[str, Any]) -> str:
    """What an event says, in words."""
    detail = event["detail"]
    if event["source"] == "aws.codecommit":
        return f"push of {detail['commitId'][:7]} to {detail['repositoryName']}"
    if event["source"] == "aws.ecr":
        tag, digest = detail["image-tag"], detail["image-digest"]
        return f"push of {detail['repository-name']}:{tag} ({digest[:19]})"
    return str(event["detail-type"])
