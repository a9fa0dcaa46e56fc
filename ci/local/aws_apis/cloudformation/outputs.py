"""Outputs and exports of stacks.

Source: AWS CloudFormation User Guide, "Get exported outputs from a deployed stack".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.evaluate import Scope
from ci.local.aws_apis.cloudformation.refusals import Refused
from ci.local.aws_apis.cloudformation.stacks import Output, Stack, Store
from ci.local.aws_apis.cloudformation.values import Unknown


def evaluated(scope: Scope) -> dict[str, Any]:
    """Output's key → the Output, or Unknown where only the execution will tell. Raises Refused."""
    found: dict[str, Any] = {}
    for key, about in (scope.document.get("Outputs") or {}).items():
        if "Condition" in about and not scope.named(str(about["Condition"])):
            continue
        value = scope.text(about["Value"], f"the Value field of output {key}")
        export: str | Unknown = ""
        if "Export" in about:
            export = scope.text(about["Export"]["Name"], f"the export name of output {key}")
        if isinstance(value, Unknown):
            found[key] = value
        elif isinstance(export, Unknown):
            found[key] = export
        else:
            found[key] = Output(key, value, str(about.get("Description", "")), export)
    return found


def judge_exports(store: Store, stack: Stack, outputs: tuple[Output, ...]) -> None:
    """Refuses outputs that take another's export, or change or drop one that others import."""
    exports = store.exports()
    for output in outputs:
        if output.export in exports and exports[output.export][0] is not stack:
            other = exports[output.export][0].name
            raise Refused(
                f"Export with name {output.export} is already exported by stack {other}. "
                "Rule violation of unique export names within a region"
            )
    now = {output.export: output.value for output in outputs if output.export}
    for before in stack.outputs:
        if not before.export or before.value == now.get(before.export):
            continue
        if importers := [each.name for each in store.importers(before.export) if each is not stack]:
            word = "updated" if before.export in now else "deleted"
            raise Refused(
                f"Export {before.export} cannot be {word} as it is in use by "
                f"{' and '.join(importers)}"
            )
