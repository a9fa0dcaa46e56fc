"""Every option, declared once, and the frozen settings that a run is made of.

``OPTIONS`` is the only place that knows an option's flag, environment name, default and help;
parsing, ``--help`` and ``plan`` read it. A flag wins over the environment, the environment over
the default; an empty environment variable counts as not set, as in ``${NAME:=default}``.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ci import values
from ci.errors import InputError, InputErrors


@dataclass(frozen=True)
class Command:
    """A command, its summary, and the actions that it asks for, if any."""

    name: str
    summary: str
    actions: tuple[str, ...] = ()


COMMANDS = (
    Command("rehearse", "the whole story on this machine, pipelines as declared (the default)"),
    Command("plan", "print what would be built, pushed and tagged, and why; change nothing"),
    Command("layer", "build and push the common layer"),
    Command("app", "build and push every function image, package every stack"),
    Command("deploy", "change set, then execution, for each packaged stack in dependency order"),
    Command("record", "tag the images that the stacks run, and those that they ran before"),
    Command("rollback", "redeploy the images of the deployment before"),
    Command("destroy", "empty buckets, delete the stacks, the infrastructure stack last"),
    Command(
        "sample",
        "the sample's data: records, files, what became of them, a walk-through",
        ("load", "upload", "watch", "account", "query", "redrive", "walk"),
    ),
    Command("engine", "the embedded engine's daemon", ("start", "stop", "status")),
)


@dataclass(frozen=True)
class Settings:
    """What the user asked for. ``origins`` says, by field, where each value came from."""

    command: str
    action: str
    source: Path
    layer: Path
    only: tuple[str, ...]
    target: str
    registry: str
    prefix: str
    region: str
    layer_repository: str
    layer_digest: str
    bucket: str
    endpoint: str
    build_id: str
    commit: str
    pin: str
    infrastructure_stack: str
    deployment_role: str
    allow_replacement: bool
    purge: bool
    yes: str
    data: Path | None
    dataset: str
    jobs: int
    timeout: float
    max_context: int
    engine: str
    mirrors: tuple[tuple[str, str], ...]
    ca_bundle: Path | None
    report: Path
    json: bool
    origins: Mapping[str, str]

    @property
    def on_this_machine(self) -> bool:
        """Whether nothing of an account is touched: with ``--target aws`` and an endpoint here, the
        local cloud plays AWS."""
        return self.target == "local" or values.is_local_url(self.endpoint)


@dataclass(frozen=True)
class Option:
    """One option. ``default`` is text, parsed like any other; None is decided by the run."""

    name: str
    flag: str
    env: str
    parse: Callable[[str], Any]
    default: str | None
    metavar: str
    help: str
    group: str
    many: bool = False
    unset: Any = ""


WHAT, WHERE, HOW, SHOWN = "What to build", "Where it goes", "How it runs", "What is shown"
STACKS, SAMPLE = "How stacks are changed", "The sample's data"

OPTIONS = (
    Option("source", "--source", "PIPELINE_SOURCE", values.path, ".", "DIR",
           "tree that holds dockerfiles/ and cfn/", WHAT),
    Option("layer", "--layer", "PIPELINE_LAYER", values.path, None, "DIR",
           "common layer's directory (SOURCE/common_layer)", WHAT),
    Option("only", "--only", "PIPELINE_ONLY", values.words, None, "NAME…",
           "only these functions; wildcards such as 'stage-a-*'", WHAT, many=True, unset=()),
    Option("build_id", "--build-id", "PIPELINE_BUILD_ID", values.word, None, "ID",
           "build number behind the tag build-ID (the CI system's own)", WHAT),
    Option("commit", "--commit", "PIPELINE_COMMIT", values.word, None, "SHA",
           "commit behind the 7-character tag (the CI system's, else git's)", WHAT),
    Option("target", "--target", "PIPELINE_TARGET", values.choice("local", "aws"), "local",
           "local|aws", "a registry on this machine, or an AWS account", WHERE),
    Option("registry", "--registry", "PIPELINE_REGISTRY", values.registry, None, "HOST",
           "registry of the images (local one; with aws, the account's ECR)", WHERE),
    Option("prefix", "--prefix", "RESOURCE_PREFIX", values.word, "stg", "TEXT",
           "image names are REGISTRY/PREFIX-DIRECTORY", WHERE),
    Option("region", "--region", "AWS_DEFAULT_REGION", values.region, "us-east-1", "NAME",
           "AWS region", WHERE),
    Option("layer_repository", "--layer-repository", "ECR_COMMON_DATALAKE_REPO_URL",
           values.repository, None, "NAME",
           "layer's image, without tag (REGISTRY/PREFIX-common-datalake-library)", WHERE),
    Option("layer_digest", "--layer-digest", "PIPELINE_LAYER_DIGEST", values.digest, None,
           "DIGEST", "build on exactly this layer, not on the tag that a Dockerfile names", WHERE),
    Option("bucket", "--bucket", "S3_BUCKET", values.word, None, "NAME",
           "S3 bucket of the stacks' artifacts; without it no stack is packaged", WHERE),
    Option("endpoint", "--endpoint-url", "AWS_ENDPOINT_URL", values.word, None, "URL",
           "AWS APIs of the local cloud, on 127.0.0.1", WHERE),
    Option("pin", "--pin", "PIPELINE_PIN", values.choice("digest", "tag"), "digest",
           "digest|tag", "how packaged templates name the images of the run", HOW),
    Option("infrastructure_stack", "--infrastructure-stack", "PIPELINE_INFRASTRUCTURE_STACK",
           values.stack, "datalake-infra-resources", "NAME",
           "stack of codepipeline.yaml: knows bucket and role", STACKS),
    Option("deployment_role", "--deployment-role", "PIPELINE_DEPLOYMENT_ROLE", values.role, None,
           "ARN", "role that CloudFormation takes on (the infrastructure stack's)", STACKS),
    Option("allow_replacement", "--allow-replacement", "PIPELINE_ALLOW_REPLACEMENT",
           values.switch, "no", "", "replace or remove tables, buckets and the like, too", STACKS),
    Option("purge", "--purge", "PIPELINE_PURGE", values.switch, "no", "",
           "destroy also deletes what is declared Retain", STACKS),
    Option("yes", "--yes", "PIPELINE_YES", values.account, None, "ACCOUNT",
           "the account that destroy is for, in place of typing it", STACKS),
    Option("data", "--data", "PIPELINE_DATA", values.path, None, "DIR",
           "files to upload (SOURCE/sample_data/meteorites)", SAMPLE, unset=None),
    Option("dataset", "--dataset", "PIPELINE_DATASET", values.word, "engineering/meteorites",
           "TEAM/NAME", "whose files they are", SAMPLE),
    Option("jobs", "--jobs", "PIPELINE_JOBS", values.count, "20", "N",
           "functions in work at once", HOW),
    Option("timeout", "--timeout", "PIPELINE_TIMEOUT", values.duration, "30m", "TIME",
           "longest time for one function, or one stack", HOW),
    Option("max_context", "--max-context", "PIPELINE_MAX_CONTEXT", values.size, "1GB", "SIZE",
           "largest build context that is no mistake", HOW),
    Option("engine", "--engine", "PIPELINE_ENGINE", values.choice("auto", "dagger", "embedded"),
           "auto", "NAME", "what runs the DAG: auto, dagger or embedded", HOW),
    Option("mirrors", "--mirror", "PIPELINE_MIRRORS", values.mirrors, None, "HOST=MIRROR…",
           "pull images of HOST from MIRROR first", HOW, many=True, unset=()),
    Option("ca_bundle", "--ca-bundle", "PIPELINE_CA_BUNDLE", values.path, None, "FILE",
           "more CA certificates to trust, for networks that intercept TLS", HOW, unset=None),
    Option("report", "--report", "PIPELINE_REPORT", values.path, "out", "DIR",
           "directory of report.json and logs/", SHOWN),
    Option("json", "--json", "PIPELINE_JSON", values.switch, "no", "",
           "print the plan or the report as JSON on standard output", SHOWN),
)  # fmt: skip

# What `engine` has a use for, and options that one command alone has a use for.
_OF_ENGINE = {"mirrors", "ca_bundle", "json"}
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "allow_replacement": ("deploy", "rollback"),
    "purge": ("destroy",),
    "yes": ("destroy",),
    "data": ("sample",),
    "dataset": ("sample",),
}


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings of a command line and an environment. Raises InputErrors with all problems."""
    problems: list[InputError] = []
    given, positional = _tokens(argv, problems)
    command, action = _command(positional, problems)
    problems += _misspelt_names(environ)
    fields: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        text, origin = _text(option, given, environ)
        if origin == option.flag and not _has_use(command, option.name):
            problems.append(InputError(origin, f"means nothing to {command}", "leave it out"))
        origins[option.name] = origin
        try:
            fields[option.name] = option.unset if text is None else option.parse(text)
        except ValueError as error:
            fields[option.name] = option.unset
            fix = f"{option.flag} {option.metavar}: {option.help}"
            problems.append(InputError(origin, f"{text!r} {error}", fix))
    if problems:
        raise InputErrors(problems)
    if not fields["layer"]:
        fields["layer"] = fields["source"] / "common_layer"
    settings = Settings(command=command, action=action, origins=origins, **fields)
    return _local_rehearsal(settings) if command == "rehearse" else settings


def _has_use(command: str, option: str) -> bool:
    if command == "engine":
        return option in _OF_ENGINE
    return command in _ONLY_FOR.get(option, (command,))


class _Tokens(argparse.ArgumentParser):
    """argparse as a tokenizer: it splits the command line, and leaves judging to us."""

    def error(self, message: str) -> NoReturn:
        raise InputError("command line", message, "see --help")


def _tokens(argv: Sequence[str], problems: list[InputError]) -> tuple[dict[str, str], list[str]]:
    """Flags with their raw text, and the words between them."""
    parser = _Tokens(add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    for option in OPTIONS:
        if option.parse is values.switch:
            parser.add_argument(option.flag, dest=option.name, action="store_const", const="yes")
        elif option.many:
            parser.add_argument(option.flag, dest=option.name, nargs="+", action="extend")
        else:
            parser.add_argument(option.flag, dest=option.name)
    try:
        known, unknown = parser.parse_known_intermixed_args(list(argv))
    except InputError as problem:
        problems.append(problem)
        return {}, []
    flags = [option.flag for option in OPTIONS]
    for extra in (text for text in unknown if text.startswith("-")):
        flag = extra.partition("=")[0]
        fix = values.did_you_mean(flag, flags, "see --help for every option")
        problems.append(InputError(extra, "is no option", fix))
    given = {
        name: " ".join(value) if isinstance(value, list) else value
        for name, value in vars(known).items()
        if name != "words" and value is not None
    }
    # The value of an unknown option would be taken for a command: one message is enough.
    return given, [] if unknown else known.words


def _command(positional: list[str], problems: list[InputError]) -> tuple[str, str]:
    """The command and its action; no word at all is ``rehearse``."""
    if not positional:
        return "rehearse", ""
    name, *rest = positional
    known = {command.name: command for command in COMMANDS}
    if name not in known:
        every = f"the commands are {', '.join(known)}"
        problems.append(InputError(name, "is no command", values.did_you_mean(name, known, every)))
        return "rehearse", ""
    actions = known[name].actions
    if actions and (len(rest) != 1 or rest[0] not in actions):
        what = f"{rest[0]!r} is none of its actions" if rest else "needs to know what to do"
        hint = values.did_you_mean(rest[0], actions) if rest else ""
        fix = f"use one of {', '.join(f'{name} {action}' for action in actions)}; {hint}"
        fix = fix.removesuffix("; ")
        problems.append(InputError(name, what, fix))
    elif rest and not actions:
        fix = f"to choose functions: {name} --only NAME"
        problems.append(InputError(" ".join(rest), f"is nothing that {name} takes", fix))
    return name, rest[0] if rest else ""


def _text(
    option: Option, given: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[str | None, str]:
    """The text of an option and its origin."""
    if option.name in given:
        return given[option.name], option.flag
    if environ.get(option.env, "").strip():
        return environ[option.env], option.env
    return option.default, "default"


def _misspelt_names(environ: Mapping[str, str]) -> list[InputError]:
    """``PIPELINE_TARGTE=aws`` would silently be nothing: say so.

    Only near misses: other tools have variables of that prefix (Azure's PIPELINE_WORKSPACE).
    """
    known = [option.env for option in OPTIONS] + ["PIPELINE_HOME"]
    ours = [name for name in environ if name.startswith("PIPELINE_") and name not in known]
    close = {name: values.closest(name, known, 0.88) for name in ours}
    return [
        InputError(name, "is no setting", f"did you mean {match}?")
        for name, match in close.items()
        if match
    ]


def _local_rehearsal(settings: Settings) -> Settings:
    """``rehearse`` never touches an account, whatever the environment says."""
    if settings.target == "local":
        return settings
    if settings.origins["target"] == "--target":
        raise InputErrors([
            InputError("--target", "rehearse is always local", "for an account: app --target aws")
        ])  # fmt: skip
    origins = {**settings.origins, "target": "rehearse is always local"}
    return dataclasses.replace(settings, target="local", origins=origins)
