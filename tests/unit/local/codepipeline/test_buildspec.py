from __future__ import annotations

import pytest
from kit.templates import ROOT

from ci.errors import PipelineError
from ci.local.codepipeline import buildspec

GOOD = """\
version: 0.2
env:
  shell: bash
  variables: {A: one, N: 1, YES: true}
  exported-variables: [A]
phases:
  install:
    runtime-versions: {python: 3.13}
    commands: [one, "two: three"]
    finally: [last]
  build:
    on-failure: ABORT
    commands:
      - |
        first
        second
artifacts:
  base-directory: out
  files: ['**/*']
  exclude-paths: ['**/x']
  discard-paths: yes
  name: n-$A
"""


def test_a_buildspec_is_read() -> None:
    spec = buildspec.read(GOOD, "Code::buildspec.yml")
    install, build = spec.phases
    assert (install.commands, install.last) == (("one", "two: three"), ("last",))
    assert (build.commands, build.on_failure) == (("first\nsecond\n",), "ABORT")
    assert spec.variables == {"A": "one", "N": "1", "YES": "true"}
    assert (spec.exported, spec.shell) == (("A",), "bash")
    assert spec.output == buildspec.Output(("**/*",), "out", "n-$A", ("**/x",), True)


@pytest.mark.parametrize("path", sorted(ROOT.glob("codepipeline/buildspec-*.yaml")))
def test_the_projects_own_are_read(path) -> None:
    assert buildspec.read(path.read_text(), str(path)).phases[0].name == "install"


PHASES = "phases: {build: {commands: [x]}}\n"


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("version: 0.1\n" + PHASES, "has the version 0.1", "version: 0.2"),
        (PHASES, "has the version (none)", "version: 0.2"),
        ("version: 0.2\n", "has no phases", "phases"),
        ("version: 0.2\nphases: {bild: {commands: [x]}}", "has phases/bild, which CodeBuild does "
         "not know", "did you mean build?"),
        ("version: 0.2\nphases: {build: {}}", "has no commands in phases/build", "add some"),
        ("version: 0.2\nphases: {build: {commands: x}}", "has phases/build/commands, which is no "
         "list", "- "),
        ("version: 0.2\nphases: {build: {commands: [{echo a: b}]}}", "is no list of texts",
         "quote"),
        ("version: 0.2\nphases: {build: {commands: [x], run-as: me}}", "has phases/build/run-as, "
         "which the rehearsal does not do", "leave it out"),
        ("version: 0.2\nphases: {build: {commands: [x], on-failure: RETRY}}",
         "has on-failure RETRY", "ABORT"),
        ("version: 0.2\nphases: {build: {commands: [x], runtime-versions: {python: 3}}}",
         "has runtime-versions in phases/build", "install"),
        ("version: 0.2\n" + PHASES + "reports: {}", "has reports, which the rehearsal does not do",
         "leave it out"),
        ("version: 0.2\n" + PHASES + "cache: {paths: [x]}", "has cache", "leave it out"),
        ("version: 0.2\n" + PHASES + "artefacts: {}", "has artefacts, which CodeBuild does not",
         "did you mean artifacts?"),
        ("version: 0.2\n" + PHASES + "artifacts: {}", "has no files in artifacts", "files"),
        ("version: 0.2\n" + PHASES + "artifacts: {files: [x], secondary-artifacts: {}}",
         "has artifacts/secondary-artifacts", "leave it out"),
        ("version: 0.2\n" + PHASES + "env: {parameter-store: {A: /a}}", "has env/parameter-store",
         "leave it out"),
        ("version: 0.2\n" + PHASES + "env: {variables: {CODEBUILD_X: a}}", "sets CODEBUILD_X",
         "rename"),
        ("version: 0.2\n" + PHASES + "env: {shell: powershell.exe}", "wants the shell powershell",
         "bash"),
    ],
)  # fmt: skip
def test_what_is_not_performed_is_refused_by_name(text: str, what: str, fix: str) -> None:
    with pytest.raises(PipelineError) as error:
        buildspec.read(text, "Code::buildspec.yml")
    assert error.value.where == "Code::buildspec.yml"
    assert what in error.value.what
    assert fix in error.value.fix


def test_what_is_no_yaml_is_told_with_its_line() -> None:
    with pytest.raises(PipelineError, match=r"Code::b.yml:2: is no buildspec .*YAML_FILE_ERROR"):
        buildspec.read("version: 0.2\nphases: [", "Code::b.yml")
