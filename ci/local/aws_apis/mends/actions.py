"""Actions that moto's services lack: those that stacks need when they are changed are added, all
others are refused at once, where moto would end with an error that clients repeat.

Sources: the API references of AWS Glue (UpdateJob), IAM (AddClientIDToOpenIDConnectProvider) and
Amazon CloudWatch Logs (AssociateKmsKey).
"""

from __future__ import annotations

from typing import Any


def install() -> None:
    """Changes moto's services."""
    _refuse()
    _glue()
    _iam()
    _logs()


def _refuse() -> None:
    from moto.core.exceptions import ServiceException
    from moto.core.responses import ActionResult, BaseResponse

    call_action = BaseResponse.call_action

    class Unknown(ServiceException):
        """Of our own module: moto looks for the errors of a service by its exception's module."""

    def call(self: Any) -> Any:
        try:
            return call_action(self)
        except NotImplementedError:
            what = f"The local cloud's {self.service_name} does not know {self._get_action()}."
            _, headers, body = self.serialized(
                ActionResult(Unknown("UnknownOperationException", what))
            )
            return 400, {**headers, "status": "400"}, body

    BaseResponse.call_action = call  # type: ignore[method-assign]


def _glue() -> None:
    from moto.core.responses import ActionResult
    from moto.core.utils import camelcase_to_underscores
    from moto.glue.responses import GlueResponse

    def update_job(self: Any) -> Any:
        """What the update does not name goes back to its default."""
        name, update = self._get_param("JobName"), self._get_param("JobUpdate")
        job = self.glue_backend.get_job(name)
        kept = ("backend", "name", "arn", "job_runs", "created_on", "last_modified_on")
        for attribute in vars(job):
            if attribute not in kept:
                setattr(job, attribute, None)
        job.execution_class = "STANDARD"
        for key, value in update.items():
            setattr(job, camelcase_to_underscores(key), value)
        return ActionResult({"JobName": name})

    GlueResponse.update_job = update_job  # type: ignore[attr-defined]


def _iam() -> None:
    from moto.core.responses import EmptyResult
    from moto.iam.responses import IamResponse

    def clients(self: Any) -> tuple[list[str], str]:
        arn, client = self._get_param("OpenIDConnectProviderArn"), self._get_param("ClientID")
        return self.backend.get_open_id_connect_provider(arn).client_id_list, client

    def add(self: Any) -> Any:
        listed, client = clients(self)
        if client not in listed:
            listed.append(client)
        return EmptyResult()

    def remove(self: Any) -> Any:
        listed, client = clients(self)
        if client in listed:
            listed.remove(client)
        return EmptyResult()

    IamResponse.add_client_id_to_open_id_connect_provider = add  # type: ignore[attr-defined]
    IamResponse.remove_client_id_from_open_id_connect_provider = remove  # type: ignore[attr-defined]


def _logs() -> None:
    from moto.logs.exceptions import ResourceNotFoundException
    from moto.logs.responses import LogsResponse

    def set_key(self: Any) -> str:
        name = self._get_param("logGroupName")
        if name not in self.logs_backend.groups:
            raise ResourceNotFoundException()
        self.logs_backend.groups[name].kms_key_id = self._get_param("kmsKeyId")
        return ""

    LogsResponse.associate_kms_key = set_key  # type: ignore[attr-defined]
    LogsResponse.disassociate_kms_key = set_key  # type: ignore[attr-defined]
