"""A buildspec: what it says, and what the rehearsal does not do of it, by name.

Source: CodeBuild User Guide, "Build specification reference", version 0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci import cfn_yaml
from ci.errors import PipelineError
from ci.local.codepipeline.declaration import REHEARSED
from ci.values import did_you_mean

PHASES = ("install", "pre_build", "build", "post_build")
SHELLS = {"sh": "sh", "/bin/sh": "sh", "bash": "bash", "/bin/bash": "bash"}
_TOP = {"version", "env", "phases", "artifacts"}
_ENV = {"variables", "exported-variables", "shell"}
_PHASE = {"commands", "finally", "on-failure", "runtime-versions"}
_ARTIFACTS = {"files", "base-directory", "name", "discard-paths", "exclude-paths"}
_ALSO = {
    "run-as", "proxy", "batch", "reports", "cache", "steps", "parameter-store", "secrets-manager",
    "git-credential-helper", "secondary-artifacts", "enable-symlinks", "s3-prefix",
}  # fmt: skip


@dataclass(frozen=True)
class Phase:
    """The commands of a phase. ``on_failure`` is ABORT, CONTINUE, or blank for the usual way."""

    name: str
    commands: tuple[str, ...]
    last: tuple[str, ...] = ()
    on_failure: str = ""


@dataclass(frozen=True)
class Output:
    """The build's artifact: globs below ``base``, less ``exclude``. ``flat`` drops the folders;
    ``name`` is a word of the shell."""

    files: tuple[str, ...]
    base: str = ""
    name: str = ""
    exclude: tuple[str, ...] = ()
    flat: bool = False


@dataclass(frozen=True)
class Buildspec:
    """What a build does. ``exported`` are the variables that later actions may use."""

    phases: tuple[Phase, ...]
    variables: Mapping[str, str]
    exported: tuple[str, ...]
    output: Output | None
    shell: str = "sh"


class _Problem(Exception):
    """What is wrong, and what to do about it."""


def read(text: str, where: str) -> Buildspec:
    """The buildspec of a text. Raises PipelineError about ``where``."""
    try:
        return _read(cfn_yaml.load(text))
    except cfn_yaml.CfnYamlError as error:
        what = f"is no buildspec (CodeBuild's YAML_FILE_ERROR): {error}"
        raise PipelineError(f"{where}:{error.line}", what, "mend its YAML") from error
    except _Problem as problem:
        what, fix = problem.args
        raise PipelineError(where, what, fix) from problem


def _read(document: Mapping[str, Any]) -> Buildspec:
    _judge("", document, _TOP)
    if str(document.get("version")) != "0.2":
        what = f"has the version {document.get('version', '(none)')}; the rehearsal performs 0.2"
        raise _Problem(what, "say `version: 0.2`")
    env = _mapping("env", document.get("env"))
    _judge("env", env, _ENV)
    shell = str(env.get("shell", "sh"))
    if shell not in SHELLS:
        raise _Problem(f"wants the shell {shell}", f"use one of {', '.join(SHELLS)}: {REHEARSED}")
    variables = _mapping("env/variables", env.get("variables"))
    for name in variables:
        if str(name).startswith("CODEBUILD_"):
            raise _Problem(f"sets {name}; that prefix is CodeBuild's own", "rename it")
    phases = _mapping("phases", document.get("phases"))
    if not phases:
        raise _Problem("has no phases", "add `phases: {build: {commands: […]}}`")
    _judge("phases", phases, set(PHASES))
    return Buildspec(
        phases=tuple(_phase(name, phases[name]) for name in PHASES if name in phases),
        variables={name: _scalar(value) for name, value in variables.items()},
        exported=_words("env/exported-variables", env.get("exported-variables")),
        output=_output(document["artifacts"]) if "artifacts" in document else None,
        shell=SHELLS[shell],
    )


def _phase(name: str, about: Any) -> Phase:
    where = f"phases/{name}"
    about = _mapping(where, about)
    _judge(where, about, _PHASE)
    if "runtime-versions" in about and name != "install":
        raise _Problem(f"has runtime-versions in {where}", "they belong into phases/install")
    on_failure = str(about.get("on-failure", ""))
    if on_failure not in ("", "ABORT", "CONTINUE"):
        what = f"has on-failure {on_failure} in {where}"
        raise _Problem(what, f"use ABORT or CONTINUE: {REHEARSED}")
    commands = _words(f"{where}/commands", about.get("commands"))
    if not commands and "runtime-versions" not in about:
        raise _Problem(f"has no commands in {where}", "add some, or leave the phase out")
    return Phase(name, commands, _words(f"{where}/finally", about.get("finally")), on_failure)


def _output(about: Any) -> Output:
    about = _mapping("artifacts", about)
    _judge("artifacts", about, _ARTIFACTS)
    files = _words("artifacts/files", about.get("files"))
    if not files:
        raise _Problem("has no files in artifacts", "add `files: ['**/*']` or the like")
    return Output(
        files=files,
        base=str(about.get("base-directory", "")),
        name=str(about.get("name", "")),
        exclude=_words("artifacts/exclude-paths", about.get("exclude-paths")),
        flat=_scalar(about.get("discard-paths", "no")) in ("yes", "true"),
    )


def _judge(where: str, about: Mapping[str, Any], known: set[str]) -> None:
    for key in sorted(about.keys() - known):
        place = f"{where}/{key}" if where else key
        if key in _ALSO or (where == "phases/install" and key == "run-as"):
            raise _Problem(
                f"has {place}, which the rehearsal does not do", f"leave it out: {REHEARSED}"
            )
        fix = did_you_mean(key, known, f"it knows {', '.join(sorted(known))}")
        raise _Problem(f"has {place}, which CodeBuild does not know", fix)


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Problem(f"has {where}, which is no mapping", "write `key: value` below it")
    return value


def _words(where: str, value: Any) -> tuple[str, ...]:
    """A sequence of scalars."""
    if value is None:
        return ()
    if not isinstance(value, list) or any(isinstance(each, dict | list) for each in value):
        fix = "write one text a line, each after `- `; quote one that holds `: `"
        raise _Problem(f"has {where}, which is no list of texts", fix)
    return tuple(_scalar(each) for each in value)


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
