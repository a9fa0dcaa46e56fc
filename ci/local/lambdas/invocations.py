"""Lambda's Invoke, for whoever invokes: functions by name, as they are deployed at the moment."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from ci import aws
from ci.cloud import Cloud
from ci.local.lambdas.fleet import Fleet
from ci.local.lambdas.functions import Function, deployed
from ci.local.lambdas.runtime_api import Result


@dataclass(frozen=True)
class _Known:
    revision: str
    function: Function


class Invocations:
    """Runs functions by name. ``registry`` is the host that holds the account's images."""

    def __init__(self, cloud: Cloud, registry: str, fleet: Fleet) -> None:
        self._cloud, self._registry, self._fleet = cloud, registry, fleet
        self._client = cloud.client("lambda")
        self._known: dict[str, _Known] = {}

    async def invoke(
        self,
        name: str,
        event: bytes,
        *,
        revision: str = "",
        request_id: str = "",
        until: float | None = None,
    ) -> Result:
        """Run a function on a JSON text and return what it came to.

        A ``revision`` says which configuration the caller knows to be in force: where it is the
        one known here, nobody is asked. Raises NoSuchFunction, NotServed, TooLate, and
        PipelineError where the cloud does not answer.
        """
        function = await self.function(name, revision)
        request_id = request_id or str(uuid.uuid4())
        return await self._fleet.invoke(function, event, request_id, until=until)

    async def function(self, name: str, revision: str = "") -> Function:
        """How a function is configured."""
        known = self._known.get(name)
        if known and revision and known.revision == revision:
            return known.function
        found = await to_thread.run_sync(self._read, name)
        self._known[name] = found
        return found.function

    def _read(self, name: str) -> _Known:
        with aws.explained("AWS Lambda", "lambda:GetFunction"):
            revision, function = deployed(self._cloud, self._client, name, self._registry)
        return _Known(revision, function)


def service_error(kind: str, message: str) -> dict[str, Any]:
    """The body of an error of Lambda itself."""
    return {"Type": kind, "message": message}
