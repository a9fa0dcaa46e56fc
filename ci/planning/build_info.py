"""Which build this is: its number and its commit, from whatever CI system runs it.

In this order: ``--build-id`` / ``--commit`` (``PIPELINE_BUILD_ID`` / ``PIPELINE_COMMIT``), the CI
system's own variables, and for the commit the git checkout. A CodePipeline whose primary source
is an ECR repository resolves ``CODEBUILD_RESOLVED_SOURCE_VERSION`` to an image digest; its
CodeBuild action then passes the code source's commit on as ``PIPELINE_COMMIT``
(``#{SourceNamespace.CommitId}``).

Sources of the names: CodeBuild "Environment variables in build environments", GitHub Actions
"Default environment variables", GitLab "Predefined CI/CD variables", Jenkins "Using environment
variables".
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.errors import InputError, InputErrors
from ci.registry.reference import TAG
from ci.settings import Settings

_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}|[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Fact:
    """A value and where it came from."""

    value: str
    origin: str


@dataclass(frozen=True)
class BuildInfo:
    """The tags of a build. ``build`` and ``commit`` are whole tags, or None where unknown."""

    build: Fact | None
    commit: Fact | None

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of every image of the build, ``latest`` last: it moves last."""
        known = (fact.value for fact in (self.build, self.commit) if fact)
        return (*dict.fromkeys(known), "latest")

    @property
    def deployment_tag(self) -> Fact:
        """Build tag, else commit, else ``latest``."""
        for fact in (self.build, self.commit):
            if fact:
                return fact
        return Fact("latest", "neither a build number nor a commit is known")


def detect(settings: Settings, environ: Mapping[str, str]) -> BuildInfo:
    """The build's number and commit. Raises InputErrors for values that make no tag."""
    problems: list[InputError] = []

    def asked(find: Callable[[], Fact | None]) -> Fact | None:
        try:
            return find()
        except InputError as problem:
            problems.append(problem)
            return None

    build = asked(lambda: _build(settings, environ))
    commit = asked(lambda: _commit(settings, environ) or _git(settings.source))
    if problems:
        raise InputErrors(problems)
    return BuildInfo(build, commit)


def _build(settings: Settings, environ: Mapping[str, str]) -> Fact | None:
    """``build-<number>``, or None outside CI."""
    number: str | None = settings.build_id
    origin = settings.origins["build_id"]
    if number:
        pass
    elif text := environ.get("CODEBUILD_BUILD_ID"):
        origin, number = "CODEBUILD_BUILD_ID", _after_colon(text)
    elif environ.get("GITHUB_ACTIONS") == "true":
        # A re-run has the run id of the run before; only the attempt tells them apart.
        run, attempt = environ.get("GITHUB_RUN_ID"), environ.get("GITHUB_RUN_ATTEMPT", "1")
        origin, number = "GITHUB_RUN_ID", f"{run}-{attempt}" if run else None
    elif environ.get("GITLAB_CI") == "true":
        origin, number = "CI_PIPELINE_ID", environ.get("CI_PIPELINE_ID")
    elif environ.get("JENKINS_URL"):
        # A multibranch job numbers each branch from 1.
        parts = (_slug(environ.get("BRANCH_NAME", "")), environ.get("BUILD_NUMBER", ""))
        origin, number = "BUILD_NUMBER", "-".join(filter(None, parts)) if parts[1] else None
    return Fact(_tag(f"build-{number}", origin), origin) if number else None


def _after_colon(text: str) -> str:
    """``project:uuid`` → ``uuid``."""
    project, _, number = text.partition(":")
    if not project or not number or ":" in number:
        raise InputError(
            "CODEBUILD_BUILD_ID",
            f"{text!r} is not of the form project:build",
            "CodeBuild sets it itself; elsewhere leave it unset, or give --build-id",
        )
    return number


def _commit(settings: Settings, environ: Mapping[str, str]) -> Fact | None:
    """The commit's first 7 characters, from the user or a CI system."""
    if settings.commit:
        return _short(settings.commit, settings.origins["commit"])
    if environ.get("CODEBUILD_BUILD_ID"):
        return _codebuild_commit(environ)
    for name, here in (
        ("GITHUB_SHA", environ.get("GITHUB_ACTIONS") == "true"),
        ("CI_COMMIT_SHA", environ.get("GITLAB_CI") == "true"),
        ("GIT_COMMIT", bool(environ.get("JENKINS_URL"))),
    ):
        if here and environ.get(name):
            return _short(environ[name], name)
    return None


def _short(commit: str, origin: str) -> Fact:
    """The tag of a commit."""
    if _COMMIT.fullmatch(commit):
        return Fact(commit[:7].lower(), origin)
    raise InputError(
        origin,
        f"{commit!r} is no commit (7 to 40, or 64, hexadecimal digits)",
        "give the commit's hash, or leave it unset to take it from git",
    )


def _codebuild_commit(environ: Mapping[str, str]) -> Fact | None:
    """The primary source's commit, or that of the one secondary source that has one.

    What is no commit (an image digest, the version of an S3 object) is passed over: CodeBuild
    sets it, the user cannot mend it.
    """
    primary = environ.get("CODEBUILD_RESOLVED_SOURCE_VERSION", "")
    if re.fullmatch("[0-9a-fA-F]{7,40}", primary):
        return Fact(primary[:7].lower(), "CODEBUILD_RESOLVED_SOURCE_VERSION")
    others = {
        name: value
        for name, value in environ.items()
        if name.startswith("CODEBUILD_SOURCE_VERSION_") and re.fullmatch("[0-9a-f]{40}", value)
    }
    if len(others) == 1:
        name, value = others.popitem()
        return Fact(value[:7], name)
    return None


def _git(source: Path) -> Fact | None:
    """The checkout's commit; None where there is no git, no repository or no commit."""
    head = _run_git(source, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head or not _COMMIT.fullmatch(head):
        return None
    changed = _run_git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return Fact(head[:7], "git, with uncommitted changes" if changed else "git")


def _run_git(directory: Path, *words: str) -> str | None:
    """Output of a git command, or None when it failed. Takes no lock: other runs go on."""
    command = ["git", "--no-optional-locks", "-C", str(directory), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _tag(text: str, origin: str) -> str:
    """``text``, when registries take it as a tag. Source: OCI Distribution Specification 1.1."""
    if TAG.fullmatch(text):
        return text
    raise InputError(
        origin,
        f"makes the tag {text!r}, which no registry takes",
        "a tag has at most 128 letters, digits, dots, dashes and underscores",
    )


def _slug(text: str) -> str:
    """A branch name as part of a tag: ``feature/x`` → ``feature-x``."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")[:60]
