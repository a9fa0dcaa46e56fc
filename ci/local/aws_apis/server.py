"""moto's server with our part of it: ``/_local/``, CloudFormation, functions, state machines."""

from __future__ import annotations

import os
from typing import Any

from ci.cloud import _LOCAL_CREDENTIALS, Cloud
from ci.local.aws_apis.local_api import LocalApi
from ci.local.aws_apis.surroundings import Surroundings
from ci.local.functions import ACCOUNT

HOST = "127.0.0.1"
_HOSTS = 1000
"""Host names that are remembered; there are a few for each service."""


def serve(port: int) -> None:
    """Serves until the process is ended. OSError where the port is taken."""
    # moto's Step Functions call other services here.
    os.environ["MOTO_PORT"] = str(port)
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        """Without a line in the log for every request: the log is for what goes wrong."""

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            pass

    class Dispatcher(DomainDispatcherApplication):
        """Finds out once which service a host name is for: moto reads a directory and tries all
        its patterns for every request, and lets the others wait meanwhile."""

        def __init__(self) -> None:
            super().__init__(create_backend_app)
            self._known: dict[str | None, Any] = {}

        def get_backend_for_host(self, host: str | None) -> Any:
            if host not in self._known:
                if len(self._known) > _HOSTS:
                    self._known.clear()
                self._known[host] = super().get_backend_for_host(host)
            return self._known[host]

    surroundings = Surroundings()
    api = LocalApi(Dispatcher(), surroundings)
    _mend(port, surroundings, api)
    make_server(HOST, port, api, threaded=True, request_handler=Quiet).serve_forever()


def _mend(port: int, surroundings: Surroundings, api: LocalApi) -> None:
    """Puts our parts in the places of moto's, before moto has made any of its services."""
    from moto.core.config import default_user_config

    from ci.local.aws_apis import mends
    from ci.local.aws_apis.cloudformation import api as cloudformation

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    mends.install(surroundings)
    api.engines = cloudformation.install(
        lambda region: Cloud(ACCOUNT, region, "", _LOCAL_CREDENTIALS, port)
    )
