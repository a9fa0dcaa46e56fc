"""Executions of Step Functions state machines."""

from __future__ import annotations

import json
from typing import Any

from datalake_library.interfaces.clients import client


def start(state_machine: str, name: str, payload: dict[str, Any]) -> None:
    """Start an execution unless one of this name exists: starting twice starts once."""
    states = client("stepfunctions")
    try:
        states.start_execution(stateMachineArn=state_machine, name=name, input=json.dumps(payload))
    except states.exceptions.ExecutionAlreadyExists:
        print(json.dumps({"execution": name, "already": "started"}))
