"""CI systems, as far as the definitions in ``codepipeline/`` use them: read, and run here.

Each reader gives the jobs that its system would run for an event; ``run`` executes one as the
system would: its shell, its variables. What a system brings itself (``uses:``, services, tokens)
is listed, so that a test says what it does in its place.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SECONDS = 300
InPlace = Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True)
class Step:
    """A script for a shell, or something that the system brings, by ``uses`` with its inputs."""

    script: str = ""
    uses: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job of a definition. ``shell`` runs each step's script; ``services`` run beside it."""

    name: str
    shell: Sequence[str]
    environ: Mapping[str, str]
    steps: Sequence[Step]
    services: Sequence[str] = ()


def run(job: Job, tree: Path, environ: Mapping[str, str], in_place: Mapping[str, InPlace]) -> str:
    """Runs a job in a checkout; all that it printed. ``in_place`` says what is done for each
    ``uses``: a function from its inputs to variables of the steps that follow."""
    known = {**environ, **job.environ}
    said = []
    for step in job.steps:
        if step.uses:
            known |= in_place[step.uses.partition("@")[0]](step.inputs)
            continue
        done = subprocess.run(
            [*job.shell, step.script], cwd=tree, env=known, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
        )  # fmt: skip
        said.append(f"$ {step.script}\n{done.stdout}")
        assert done.returncode == 0, "\n".join(said)
    return "\n".join(said)


def github(text: str, contexts: Mapping[str, str]) -> list[Job]:
    """The jobs of a workflow. ``contexts`` are values such as ``github.event_name``.

    Sources: GitHub "Workflow syntax" (``run`` without ``shell`` is ``bash -e``), "Contexts".
    """
    workflow = yaml.safe_load(text)
    # YAML 1.1 takes the key `on` for a truth value.
    assert contexts["github.event_name"] in workflow[True]

    def filled(value: Any) -> str:
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda match: contexts[match[1]], str(value))

    jobs = []
    for name, about in workflow["jobs"].items():
        left, right = re.fullmatch(r"([\w.]+) == '(\w+)'", about["if"]).groups()
        if contexts[left] != right:
            continue
        steps = [
            Step(filled(each.get("run", "")), each.get("uses", ""),
                 {key: filled(value) for key, value in each.get("with", {}).items()})
            for each in about["steps"]
        ]  # fmt: skip
        environ = {key: filled(value) for key, value in about.get("env", {}).items()}
        jobs.append(Job(name, ["bash", "-e", "-c"], environ, steps))
    return jobs


def gitlab(text: str, variables: Mapping[str, str]) -> list[Job]:
    """The jobs of a pipeline with these predefined variables.

    Sources: GitLab "CI/CD YAML syntax reference" (``before_script`` and ``script`` are one
    shell), "Where variables can be used" (expansion), "Predefined CI/CD variables".
    """
    definition = yaml.safe_load(text)
    default = definition.pop("default", {})

    def value(word: str) -> str:
        return word.strip('"') if word.startswith('"') else variables.get(word[1:], "")

    def expanded(given: str) -> str:
        return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ""), given)

    jobs = []
    for name, about in definition.items():
        rules = [rule["if"].split(" == ") for rule in about["rules"]]
        if not any(value(left) == value(right) for left, right in rules):
            continue
        script = [*default.get("before_script", []), *about["script"]]
        environ = {key: expanded(str(each)) for key, each in about.get("variables", {}).items()}
        environ |= dict.fromkeys(about.get("id_tokens", {}), "a.token.of-the-system")
        services = [each["name"] for each in about.get("services", [])]
        step = Step("\n".join(script))
        jobs.append(Job(name, ["bash", "-eo", "pipefail", "-c"], environ, [step], services))
    return jobs


def jenkins(text: str, variables: Mapping[str, str]) -> list[Job]:
    """The stages of a declarative pipeline, as one job.

    Sources: Jenkins "Pipeline Syntax" (``when``, ``environment``), "Using environment variables";
    ``sh`` runs each step with ``sh -xe``.
    """
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    known = dict(variables)
    [block] = re.findall(r"environment \{(.*?)\n    \}", text, re.DOTALL)
    for name, double, single in re.findall(r"(\w+) = (?:\"(.*)\"|'(.*)')", block):
        known[name] = re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], double) or single
    steps = []
    for _, body in re.findall(r"stage\('(\w+)'\) \{(.*?)\n        \}", text, re.DOTALL):
        when = re.search(r"when \{ (.*?) \}", body)
        holds = {
            "changeRequest()": "CHANGE_ID" in variables,
            "branch 'main'": variables.get("BRANCH_NAME") == "main",
        }
        if not when or holds[when[1]]:
            steps += [Step(script) for script in re.findall(r"sh '(.*)'", body)]
    return [Job("pipeline", ["sh", "-xe", "-c"], known, steps)]
