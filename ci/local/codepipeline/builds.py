"""CodeBuild: runs the buildspec of a project here, with the variables that it gets there.

Sources: CodeBuild User Guide, "Environment variables in build environments", "Build phase
transitions", "Build specification reference".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from ci.errors import PipelineError
from ci.local.codepipeline import build_output, buildspec
from ci.local.codepipeline.buildspec import Buildspec, Phase
from ci.local.codepipeline.shell import Shell

LAST_LINES = 15
_DEFAULT_BUILDSPEC = "buildspec.yml"
# Source: "Build phase transitions": the phase after whose failure the next one runs, too.
_GOES_ON = {"build"}


@dataclass(frozen=True)
class Project:
    """An ``AWS::CodeBuild::Project``, as far as a build here depends on it.

    ``buildspec`` is a path in the source, or the buildspec itself. ``minutes`` is its time limit.
    """

    name: str
    arn: str
    buildspec: str
    image: str
    key: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    minutes: float = 60.0


@dataclass(frozen=True)
class Order:
    """A build that is to be done.

    ``inputs`` are the unpacked artifacts by name, ``source`` the primary one's name; ``version``
    and ``location`` are its revision and where it lies in S3. ``variables`` are the action's.
    ``redirected`` has the last word: it keeps the build on this machine.
    """

    project: Project
    number: int
    initiator: str
    source: str
    inputs: Mapping[str, Path]
    version: str
    location: str
    region: str
    variables: Mapping[str, str]
    host: Mapping[str, str]
    redirected: Mapping[str, str]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def directory(self) -> Path:
        """Where the build works: CODEBUILD_SRC_DIR."""
        return self.inputs[self.source]


@dataclass(frozen=True)
class Built:
    """What came of a build: variables for later actions; files of the artifact, by name in it."""

    exported: Mapping[str, str]
    files: Sequence[tuple[str, Path]]
    name: str = ""


def project(properties: Mapping[str, Any], arn: str) -> Project:
    """The project of resolved properties. Raises PipelineError for what is not rehearsed."""
    name = str(properties.get("Name", arn.rpartition("/")[2]))
    where = f"CodeBuild project {name}"
    source, environment = properties.get("Source") or {}, properties.get("Environment") or {}
    for part, about in (("Source", source), ("Artifacts", properties.get("Artifacts") or {})):
        if about.get("Type") != "CODEPIPELINE":
            what = f"has {part} of the type {about.get('Type')}; a pipeline's has CODEPIPELINE"
            raise PipelineError(where, what, f"say `{part}: {{Type: CODEPIPELINE}}`")
    for each in environment.get("EnvironmentVariables") or []:
        if each.get("Type", "PLAINTEXT") != "PLAINTEXT":
            what = f"has the variable {each.get('Name')} of the type {each['Type']}"
            raise PipelineError(where, what, "the rehearsal knows PLAINTEXT only")
    return Project(
        name=name,
        arn=arn,
        buildspec=str(source.get("BuildSpec") or _DEFAULT_BUILDSPEC),
        image=str(environment.get("Image", "")),
        key=str(properties.get("EncryptionKey", "")),
        variables={
            str(each["Name"]): str(each.get("Value", ""))
            for each in environment.get("EnvironmentVariables") or []
        },
        minutes=float(properties.get("TimeoutInMinutes", 60)),
    )


def specification(order: Order) -> Buildspec:
    """What the build does. Raises PipelineError where its source does not tell."""
    text, where = order.project.buildspec, f"buildspec of {order.project.name}"
    if "\n" not in text:
        path = order.directory / text
        where = f"{order.source}::{text}"
        if not path.is_file():
            what = f"is not there, and {order.project.name} takes its buildspec from it"
            fix = "add the file to the repository, or correct BuildSpec of the project"
            raise PipelineError(where, what, fix)
        text = path.read_text(encoding="utf-8", errors="replace")
    return buildspec.read(text, where)


def environment(order: Order, spec: Buildspec) -> dict[str, str]:
    """All that the build's commands see."""
    project, build_id = order.project, f"{order.project.name}:{order.id}"
    arn, _, _ = project.arn.rpartition(":project/")
    own = {
        "AWS_DEFAULT_REGION": order.region,
        "AWS_REGION": order.region,
        "CODEBUILD_BUILD_ARN": f"{arn}:build/{build_id}",
        "CODEBUILD_BUILD_ID": build_id,
        "CODEBUILD_BUILD_IMAGE": project.image,
        "CODEBUILD_BUILD_NUMBER": str(order.number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": order.initiator,
        "CODEBUILD_KMS_KEY_ID": project.key,
        "CODEBUILD_LOG_PATH": order.id,
        "CODEBUILD_PROJECT_ARN": project.arn,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": order.version,
        "CODEBUILD_SOURCE_REPO_URL": "",
        "CODEBUILD_SOURCE_VERSION": order.location,
        "CODEBUILD_SRC_DIR": str(order.directory),
        "CODEBUILD_START_TIME": str(int(time.time() * 1000)),
    }
    for name, path in order.inputs.items():
        if name != order.source:
            own[f"CODEBUILD_SRC_DIR_{name}"] = str(path)
    return {
        **order.host, **spec.variables, **project.variables, **order.variables, **own,
        **order.redirected,
    }  # fmt: skip


async def run(
    order: Order, scratch: Path, log: Path, heard: Callable[[str], None] = lambda line: None
) -> Built:
    """Does a build; its whole output is in ``log``, ``heard`` gets every line of it.

    Raises PipelineError where it fails: with the command, and the last lines.
    """
    with log.open("wb") as stream:
        spec = specification(order)
        environ = environment(order, spec)
        shell = Shell(spec.shell, order.directory, environ, scratch, stream, heard)
        try:
            with anyio.fail_after(order.project.minutes * 60):
                problem = await _phases(spec, shell)
                if problem:
                    raise _failed(order, problem, log)
                return await _result(order, spec, shell, log)
        except TimeoutError as error:
            raise _failed(order, f"took longer than {order.project.minutes:g} min", log) from error
        finally:
            await shell.close()


async def _phases(spec: Buildspec, shell: Shell) -> str:
    """Runs the phases; the first failure, in words."""
    first = ""
    for phase in spec.phases:
        problem = await _phase(phase, shell)
        if not problem:
            continue
        first = first or problem
        await shell.run("export CODEBUILD_BUILD_SUCCEEDING=0")
        goes_on = phase.on_failure == "CONTINUE" or (
            not phase.on_failure and phase.name in _GOES_ON
        )
        if not goes_on:
            break
    return first


async def _phase(phase: Phase, shell: Shell) -> str:
    shell.say(f"Entering phase {phase.name.upper()}")
    problem = await _commands(phase, phase.commands, shell)
    # These run whatever became of the others.
    at_last = await _commands(phase, phase.last, shell)
    problem = problem or at_last
    shell.say(f"Phase complete: {phase.name.upper()} State: {'FAILED' if problem else 'SUCCEEDED'}")
    return problem


async def _commands(phase: Phase, commands: Sequence[str], shell: Shell) -> str:
    for command in commands:
        shell.say(f"Running command {command}")
        if code := await shell.run(command):
            shell.say(f"Command did not exit successfully {command} exit status {code}")
            first = command.strip().splitlines()[0]
            return f"{phase.name.upper()}: `{first}` ended with exit code {code}"
    return ""


async def _result(order: Order, spec: Buildspec, shell: Shell, log: Path) -> Built:
    exported = await shell.environment() if spec.exported else {}
    files: list[tuple[str, Path]] = []
    name = ""
    if spec.output:
        try:
            files = build_output.files(spec.output, order.directory)
        except build_output.NoOutput as error:
            shell.say(f"UPLOAD_ARTIFACTS: {error}")
            raise _failed(order, f"UPLOAD_ARTIFACTS: {error}", log) from error
        if spec.output.name:
            name = await _word(spec.output.name, shell, order)
        shell.say(f"Artifact {name or '(without a name)'}: {len(files)} files")
    return Built({key: exported.get(key, "") for key in spec.exported}, files, name)


async def _word(text: str, shell: Shell, order: Order) -> str:
    """A word of the shell's language, as it stands."""
    file = order.directory.parent / "artifact-name"
    await shell.run(f"printf %s \"{text}\" >'{file}'")
    return file.read_text()


def _failed(order: Order, problem: str, log: Path) -> PipelineError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    end = [line for line in lines if line.strip() and not line.startswith("[Container]")]
    shown = "".join(f"\n  │ {line}" for line in end[-LAST_LINES:])
    what = f"failed in {problem}" + (f"; its last lines:{shown}" if shown else "")
    return PipelineError(f"build {order.project.name}", what, f"the whole log is {log}")
