"""SAM templates as plain CloudFormation, for local APIs that know no macros.

In an account CloudFormation itself does this (``CAPABILITY_AUTO_EXPAND``); aws-sam-translator is
the program that it runs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ci.errors import PipelineError

TRANSFORM = "AWS::Serverless-2016-10-31"


def is_sam(document: Mapping[str, Any]) -> bool:
    """Whether a template asks for the SAM transform."""
    asked = document.get("Transform")
    return TRANSFORM in (asked if isinstance(asked, list) else [asked])


def expanded(
    document: Mapping[str, Any], parameters: Mapping[str, str], region: str, where: str
) -> dict[str, Any]:
    """A packaged SAM template as plain CloudFormation; any other template as it is.

    ``document`` is in long form. Raises PipelineError about ``where`` with all that SAM refuses.
    """
    template = copy.deepcopy(dict(document))
    if not is_sam(template):
        return template
    from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    session = SimpleNamespace(region_name=region)
    policies = get_bundled_managed_policy_map("aws") or {}
    translator = Translator(policies, Parser(), boto_session=session)
    try:
        plain: dict[str, Any] = translator.translate(template, dict(parameters))
    except InvalidDocumentException as error:
        what = "".join(f"\n    {cause.message}" for cause in error.causes) or str(error)
        raise PipelineError(
            where, f"is no valid SAM template:{what}", "mend what it names"
        ) from error
    others = [each for each in _listed(document.get("Transform")) if each != TRANSFORM]
    plain.pop("Transform", None)
    return plain | ({"Transform": others} if others else {})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
