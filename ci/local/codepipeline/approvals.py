"""Manual approval: nobody is waited for in a rehearsal.

Source: CodePipeline User Guide, "Manual approval action reference".
"""

from __future__ import annotations

import json
from typing import Any

from ci.local.codepipeline.task import Outcome, Task


async def approve(task: Task) -> Outcome:
    """Tells whom the declaration names, and approves.

    Raises PipelineError where the topic is not there.
    """
    given = task.action.configuration
    asked = given.get("CustomData", "somebody looks at what comes next")
    if topic := given.get("NotificationArn"):
        message = {
            "approval": {
                "pipelineName": task.execution.pipeline.name,
                "stageName": task.stage.name,
                "actionName": task.action.name,
                "customData": asked,
            }
        }

        def publish(client: Any) -> None:
            client.publish(TopicArn=topic, Message=json.dumps(message))

        await task.world.desk.ask("sns", "sns:Publish", publish)
    return Outcome(f"approved by the rehearsal itself; on AWS it waits for somebody: {asked}")
