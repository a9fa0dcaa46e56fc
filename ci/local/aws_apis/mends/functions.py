"""moto's Lambda, without its Docker: functions are run by whoever registered as function host.

What moto drops of a function's configuration is kept; images are looked up where they really are.
"""

from __future__ import annotations

import http.client
import json
import sys
import uuid
from email.message import Message
from typing import Any
from urllib.parse import quote, urlsplit

from ci.local.aws_apis.mends.account_images import NoImage, resolved
from ci.local.aws_apis.surroundings import Surroundings

_KEPT = ("LoggingConfig", "DeadLetterConfig", "FileSystemConfigs")
"""Configuration that moto takes and forgets. Source: Lambda API, FunctionConfiguration."""
_NO_HOST = (
    "no functions run: they do while `ci/main.py rehearse` or a `sample` command is at work, "
    "which registers its function host here"
)
# Longer than Lambda's longest function: 900 s, and the start of its container.
_SECONDS = 1200
_ERRORS = {
    404: "ResourceNotFoundException",
    413: "RequestTooLargeException",
    429: "TooManyRequestsException",
}


def install(surroundings: Surroundings) -> None:
    """Puts functions of our kind in the place of moto's."""
    from moto.awslambda import models
    from moto.awslambda.exceptions import LambdaClientError
    from moto.s3.exceptions import MissingBucket
    from moto.s3.models import s3_backends

    class LocalFunction(models.LambdaFunction):
        """A function that the function host runs."""

        def __init__(
            self, account_id: str, spec: dict[str, Any], region: str, version: str | int = 1
        ) -> None:
            self.revision = str(uuid.uuid4())
            self.kept = {name: spec[name] for name in _KEPT if name in spec}
            self.image = ""
            super().__init__(account_id, spec, region, version)

        def get_configuration(self, on_create: bool = False) -> dict[str, Any]:
            found: dict[str, Any] = super().get_configuration(on_create)
            default = {"LogFormat": "Text", "LogGroup": self.logs_group_name}
            logging = default | self.kept.get("LoggingConfig", {})
            return found | self.kept | {"LoggingConfig": logging, "RevisionId": self.revision}

        def update_configuration(self, config_updates: dict[str, Any]) -> dict[str, Any]:
            self.kept |= {name: config_updates[name] for name in _KEPT if name in config_updates}
            if "ImageConfig" in config_updates:
                self.image_config = models.ImageConfig(config_updates["ImageConfig"])
            if "EphemeralStorage" in config_updates:
                self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
            if "TracingConfig" in config_updates:
                self.tracing_config = config_updates["TracingConfig"]
            if "KMSKeyArn" in config_updates:
                self.kms_key_arn = config_updates["KMSKeyArn"]
            super().update_configuration(config_updates)
            self._changed()
            return self.get_configuration()

        def _set_function_code(self, updated_spec: dict[str, Any]) -> None:
            image = None
            if "ImageUri" in updated_spec:
                try:
                    image = resolved(updated_spec["ImageUri"], self.region, surroundings.registry)
                except NoImage as error:
                    raise LambdaClientError("InvalidParameterValueException", str(error)) from error
            if "S3Key" in updated_spec:
                self._look_up(updated_spec)
            super()._set_function_code(updated_spec)
            if image and not updated_spec.get("DryRun"):
                self.image = f"{image.repository}@{image.digest}"
                self.code_sha_256 = image.digest.removeprefix("sha256:")
            if updated_spec is not self.code and "Architectures" in updated_spec:
                self.architectures = updated_spec["Architectures"]
            self._changed()

        def _look_up(self, code: dict[str, Any]) -> None:
            """moto takes code that is in no bucket for none."""
            buckets = s3_backends[self.account_id][self.partition]
            where = (code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))
            try:
                found = buckets.get_object(*where)
            except MissingBucket:
                found = None
            if found is None:
                what = f"s3://{where[0]}/{where[1]}: The specified key does not exist."
                raise LambdaClientError(
                    "InvalidParameterValueException",
                    "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: "
                    + what,
                )

        def get_code(self) -> dict[str, Any]:
            found: dict[str, Any] = super().get_code()
            if self.image:
                found["Code"]["ResolvedImageUri"] = self.image
            return found

        def invoke(
            self, body: Any, request_headers: Any, response_headers: dict[str, str]
        ) -> str | bytes:
            headers = {name.lower(): value for name, value in dict(request_headers).items()}
            kind = headers.get("x-amz-invocation-type", "RequestResponse")
            if kind == "DryRun":
                return b""
            # Other services of moto call without any header, and all of those are asynchronous.
            inner = not headers
            try:
                return _invoke(surroundings, self, body, kind if headers else "Event",
                               response_headers)  # fmt: skip
            except _ServiceError as error:
                if inner:
                    print(f"function {self.function_name}: {error}", file=sys.stderr)
                    return b""
                raised = LambdaClientError(error.kind, str(error))
                raised.code = error.status
                raise raised from error

        def _changed(self) -> None:
            self.revision = str(uuid.uuid4())

    models.LambdaFunction = LocalFunction  # type: ignore[misc]
    _configure_asynchronous_invocations_anew()


def _configure_asynchronous_invocations_anew() -> None:
    """moto keeps the first configuration that is put, and every later one behind it."""
    from moto.awslambda.models import LambdaBackend

    put = LambdaBackend.put_function_event_invoke_config

    def put_config(self: Any, function_name: str, config: dict[str, Any]) -> Any:
        self.get_function(function_name).event_invoke_config = []
        return put(self, function_name, config)

    LambdaBackend.put_function_event_invoke_config = put_config  # type: ignore[method-assign]


class _ServiceError(Exception):
    """Lambda itself, not the function, answers with an error."""

    def __init__(self, kind: str, message: str, status: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


def _invoke(
    surroundings: Surroundings, function: Any, body: Any, kind: str, answer: dict[str, str]
) -> bytes:
    """What the function host answers; headers of Lambda's own answer go into ``answer``.

    ``POST {host}/functions/NAME/invocations``; see the contract in ``docs/local-cloud.md``.
    """
    url = surroundings.function_host
    if not url:
        raise _ServiceError("ServiceException", _NO_HOST, 500)
    payload = body.encode() if isinstance(body, str) else body or b"{}"
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SECONDS)
    try:
        path = f"/functions/{quote(function.function_name, safe='')}/invocations"
        headers = {
            "X-Amz-Invocation-Type": kind,
            # The host then need not ask how the function is configured.
            "X-Function-Revision": function.revision,
            "Content-Type": "application/json",
        }
        connection.request("POST", path, payload, headers)
        response = connection.getresponse()
        found = response.read()
    except (OSError, http.client.HTTPException) as error:
        what = f"the function host {url} does not answer: {error}"
        raise _ServiceError("ServiceException", what, 500) from error
    finally:
        connection.close()
    if response.status not in (200, 202):
        error_kind = _ERRORS.get(response.status, "ServiceException")
        status = response.status if response.status in _ERRORS else 500
        raise _ServiceError(error_kind, _message(found), status)
    answer["x-amz-executed-version"] = "$LATEST"
    _copy(response.headers, answer, "x-amz-function-error", "x-amz-log-result")
    return found


def _copy(source: Message, target: dict[str, str], *names: str) -> None:
    for name in names:
        if value := source.get(name):
            target[name] = value


def _message(body: bytes) -> str:
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("message") or found.get("Message") or text)
