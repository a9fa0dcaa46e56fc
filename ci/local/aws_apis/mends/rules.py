"""Rules of moto's EventBridge: targets that moto does not reach, and schedules that are none of
PutEvents' business.

Source: Amazon EventBridge User Guide, "Event bus targets" and "Transforming input".
"""

from __future__ import annotations

import copy
import json
import sys
from datetime import UTC, datetime
from typing import Any


def install() -> None:
    """Puts our way to targets in the place of moto's."""
    from moto.events import models
    from moto.events.utils import EventTemplateParser

    plain = models.Rule.send_to_targets

    def send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
        if self.state.startswith("DISABLED") or not self.event_pattern.get_pattern():
            return
        if not self.event_pattern.matches_event(original_event):
            return
        for target in self.targets:
            service = target["Arn"].split(":")[2]
            try:
                if deliver := _DELIVERIES.get(service):
                    deliver(self, target, _input(EventTemplateParser, target, original_event))
                elif service in ("logs", "events"):
                    only = copy.copy(self)
                    only.targets = [target]
                    plain(only, original_event, transform_input)
                # CodePipeline, SNS's readers and the rest: the rehearsal looks at rules itself.
            except Exception as error:
                # Who put the event is not told, as on AWS; the log is.
                print(f"rule {self.name} to {target['Arn']}: {error!r}", file=sys.stderr)

    models.Rule.send_to_targets = send_to_targets  # type: ignore[method-assign]


def _input(parser: Any, target: dict[str, Any], event: Any) -> str:
    """What a target gets: the event, or what its Input, InputPath or InputTransformer says."""
    event = copy.deepcopy(event)
    if isinstance(event.get("time"), int | float):
        when = datetime.fromtimestamp(event["time"], UTC)
        event["time"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    if "Input" in target:
        return str(target["Input"])
    if path := target.get("InputPath"):
        found: Any = event
        for step in path.removeprefix("$").strip(".").split("."):
            found = found[step] if step else found
        return json.dumps(found)
    if transformer := target.get("InputTransformer"):
        made = parser.parse(
            input_template=transformer["InputTemplate"],
            input_paths_map=transformer.get("InputPathsMap", {}),
            event=event,
        )
        return made if isinstance(made, str) else json.dumps(made)
    return json.dumps(event)


def _to_function(rule: Any, target: dict[str, Any], text: str) -> None:
    from moto.awslambda.models import lambda_backends

    region = target["Arn"].split(":")[3]
    backend = lambda_backends[rule.account_id][region]
    backend.invoke(target["Arn"], None, text, {}, {})


def _to_queue(rule: Any, target: dict[str, Any], text: str) -> None:
    from moto.sqs.models import sqs_backends

    region, name = target["Arn"].split(":")[3], target["Arn"].split(":")[5]
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    sqs_backends[rule.account_id][region].send_message(
        queue_name=name, message_body=text, group_id=group
    )


def _to_topic(rule: Any, target: dict[str, Any], text: str) -> None:
    from moto.sns.models import sns_backends

    region = target["Arn"].split(":")[3]
    sns_backends[rule.account_id][region].publish(arn=target["Arn"], message=text)


def _to_machine(rule: Any, target: dict[str, Any], text: str) -> None:
    import uuid

    from moto.stepfunctions.responses import get_backend

    region = target["Arn"].split(":")[3]
    get_backend(rule.account_id, region).start_execution(
        target["Arn"], name=str(uuid.uuid4()), execution_input=text
    )


_DELIVERIES = {
    "lambda": _to_function,
    "sns": _to_topic,
    "sqs": _to_queue,
    "states": _to_machine,
}
