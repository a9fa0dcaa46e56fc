"""Parameters of the Systems Manager: how stacks find one another's resources."""

from __future__ import annotations

from functools import cache

from datalake_library.errors import ConfigurationError
from datalake_library.interfaces.clients import client


@cache
def parameter(name: str) -> str:
    """Raises ConfigurationError where there is no such parameter."""
    ssm = client("ssm")
    try:
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound as error:
        raise ConfigurationError(f"there is no SSM parameter {name}") from error
