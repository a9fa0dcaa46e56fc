"""Decides what a run builds, before anything is started: pure, printable, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ci import drift
from ci.errors import InputError, InputErrors
from ci.package import stacks
from ci.package.stacks import Stack
from ci.planning import context, discovery
from ci.planning.build_info import BuildInfo
from ci.planning.dockerfile import DockerfileError, Pull, pulls
from ci.registry.reference import Reference, is_ecr, name_for_ecr, parse_repository, refused_by_ecr
from ci.settings import Settings
from ci.values import is_local_url, tell_bytes

LAYER_NAME = "common-datalake-library"
LAYER_ARGUMENT = "ECR_COMMON_DATALAKE_REPO_URL"
_EVERY_RUN = "built by every run"


@dataclass(frozen=True)
class Image:
    """One image to build: its recipe and where it goes.

    ``text`` is the Dockerfile's, ``pulls`` the images that it builds on, ``exclude`` the lines of
    its ``.dockerignore``, ``context_bytes`` the size of what is left of its directory.
    """

    name: str
    directory: Path
    dockerfile: str
    text: str
    repository: str
    build_args: tuple[tuple[str, str], ...]
    pulls: tuple[Pull, ...]
    exclude: tuple[str, ...]
    context_bytes: int
    why: str


@dataclass(frozen=True)
class Plan:
    """What a run builds, pushes and packages. ``notes`` are remarks for the user, no errors."""

    settings: Settings
    build: BuildInfo
    registry: str
    layer_repository: str
    layer: Image | None
    functions: tuple[Image, ...]
    stacks: tuple[Stack, ...]
    notes: tuple[str, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """Everything that is built, the layer first."""
        return ((self.layer,) if self.layer else ()) + self.functions

    @property
    def bases(self) -> dict[Reference, tuple[str, ...]]:
        """Every image that is pulled, with the names of the images that build on it."""
        users: dict[Reference, list[str]] = {}
        for image in self.images:
            for pull in image.pulls:
                users.setdefault(pull.reference, []).append(image.name)
        return {base: tuple(dict.fromkeys(names)) for base, names in users.items()}

    @property
    def given_bases(self) -> dict[Reference, str]:
        """Digests that the user gave: the layer's, whatever tag a Dockerfile names it by."""
        digest = self.settings.layer_digest
        layers = [base for base in self.bases if base.repository == self.layer_repository]
        return {base: digest for base in layers if digest and not self.layer}


def make(settings: Settings, build: BuildInfo, registry: str) -> Plan:
    """The plan of ``settings`` for a registry (``host[:port][/path]``). Raises InputErrors."""
    problems: list[InputError] = []
    notes = list(_notes(build))
    if settings.target == "local" and is_ecr(registry):
        origin = settings.origins["registry"]
        what = f"{registry} is an account's registry, and --target local never touches an account"
        problems.append(InputError(origin, what, "add --target aws, or name another registry"))
    layer_repository = _layer_repository(settings, registry, problems, notes)
    layer = None
    wanted = settings.command in ("layer", "rehearse")
    if wanted and settings.origins["layer_digest"] == "--layer-digest":
        what = f"names a layer, and {settings.command} builds one"
        problems.append(InputError("--layer-digest", what, "leave it out, or use it with app"))
    if wanted or (settings.command == "plan" and settings.layer.is_dir()):
        found = discovery.recipe(LAYER_NAME, settings.layer, problems)
        layer = (
            _image(settings, found, layer_repository, (), _EVERY_RUN, problems) if found else None
        )
    functions: tuple[Image, ...] = ()
    if settings.command != "layer":
        functions = _functions(settings, registry, layer_repository, problems)
    problems += _clashes(layer_repository, settings.layer, functions)
    packaged = _stacks(settings, problems, notes)
    if problems:
        raise InputErrors(problems)
    if settings.command == "plan" and not settings.only:
        names = [image.name for image in functions]
        notes += [str(each) for each in drift.find(settings.source, names, LAYER_NAME)]
    return Plan(
        settings, build, registry, layer_repository, layer, functions, packaged, tuple(notes)
    )


def _functions(
    settings: Settings, registry: str, layer_repository: str, problems: list[InputError]
) -> tuple[Image, ...]:
    """The function images, ``registry/prefix-directory`` each."""
    found = discovery.functions(settings.source, settings.only, problems)
    if refused := refused_by_ecr(f"{settings.prefix}-function"):
        origin = settings.origins["prefix"]
        fix = f"use a prefix such as {name_for_ecr(settings.prefix)}"
        problems.append(InputError(origin, f"{settings.prefix!r} {refused}", fix))
        return ()
    arguments = ((LAYER_ARGUMENT, layer_repository),)
    why = f"named by {settings.origins['only']}" if settings.only else _EVERY_RUN
    images = []
    for each in found:
        name = f"{settings.prefix}-{each.name}"
        folder = registry.partition("/")[2]
        if refused := refused_by_ecr(f"{folder}/{name}" if folder else name):
            what = f"makes the repository name {name!r}, which {refused}"
            fix = f"rename the directory, for example to {name_for_ecr(each.name)}"
            problems.append(InputError(str(each.directory), what, fix))
        elif image := _image(settings, each, f"{registry}/{name}", arguments, why, problems):
            images.append(image)
    return tuple(images)


def _image(
    settings: Settings,
    found: discovery.Found,
    repository: str,
    arguments: tuple[tuple[str, str], ...],
    why: str,
    problems: list[InputError],
) -> Image | None:
    """Reads one recipe; None, with a problem noted, when it cannot be followed."""
    path = found.directory / found.dockerfile
    try:
        text = path.read_bytes().decode()
        bases = pulls(text, dict(arguments))
        patterns = context.ignored(found.directory, found.dockerfile)
        sizes = context.sizes(found.directory, patterns)
    except UnicodeDecodeError as error:
        what, fix = f"is not UTF-8 (byte {error.start})", "save it as UTF-8"
        problems.append(InputError(str(path), what, fix))
        return None
    except OSError as error:
        what, fix = f"cannot be read: {error.strerror}", "make it readable for this user"
        problems.append(InputError(str(error.filename or path), what, fix))
        return None
    except DockerfileError as error:
        fix = f"give the argument a default, or name an image; the pipeline passes {LAYER_ARGUMENT}"
        problems.append(InputError(f"{path}:{error.line}", str(error), fix))
        return None
    total = sum(sizes.values())
    if total > settings.max_context:
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
        shown = ", ".join(f"{name} ({tell_bytes(size)})" for name, size in largest)
        what = f"has a build context of {tell_bytes(total)}; the largest in it: {shown}"
        fix = "list what the image does not need in .dockerignore, or raise --max-context"
        problems.append(InputError(str(found.directory), what, fix))
    exclude = tuple(pattern.text for pattern in patterns)
    return Image(
        found.name, found.directory, found.dockerfile, text, repository, arguments, bases,
        exclude, total, why,
    )  # fmt: skip


def _stacks(settings: Settings, problems: list[InputError], notes: list[str]) -> tuple[Stack, ...]:
    """The stacks that are packaged once the images are there."""
    if settings.command == "layer" or not settings.bucket:
        return ()
    if settings.only:
        notes.append("with --only no stack is packaged: the others' images are not of this run")
        return ()
    if settings.target == "local" and not is_local_url(settings.endpoint):
        named, origin = settings.bucket, settings.origins["bucket"]
        if origin == "--bucket":
            what = f"{named} is in an account, and --target local never touches one"
            fix = "add --target aws, or name the local cloud: --endpoint-url http://127.0.0.1:PORT"
            problems.append(InputError(origin, what, fix))
        else:
            notes.append(f"{origin} names {named}, which --target local leaves alone")
        return ()
    try:
        return stacks.read(settings.source, settings.prefix)
    except InputErrors as found:
        problems += found.errors
        return ()


def _layer_repository(
    settings: Settings, registry: str, problems: list[InputError], notes: list[str]
) -> str:
    """Where the layer's image lives.

    With ``--target local`` an account's repository in the environment is passed over: a trial on
    a machine that is set up for an account pushes nothing there.
    """
    own = f"{registry}/{settings.prefix}-{LAYER_NAME}"
    named, origin = settings.layer_repository, settings.origins["layer_repository"]
    if not named:
        return own
    if settings.target == "aws":
        # The registry of this machine holds what the account's would: the path stays.
        moved = settings.on_this_machine and is_ecr(named) and not is_ecr(registry)
        return f"{registry}/{parse_repository(named).path}" if moved else named
    if parse_repository(named).host == parse_repository(own).host:
        return named
    if origin != "--layer-repository":
        notes.append(f"{origin} names {named}, which --target local leaves alone: using {own}")
        return own
    if settings.command in ("layer", "rehearse"):
        what = f"{named} is not in {registry}, where --target local pushes"
        problems.append(InputError(origin, what, "add --target aws, or leave it out"))
    return named


def _clashes(
    layer_repository: str, layer: Path, functions: tuple[Image, ...]
) -> Iterable[InputError]:
    """Directories that would push to one repository, each undoing the other."""
    owners: dict[str, list[str]] = {layer_repository: [f"the common layer ({layer})"]}
    for image in functions:
        owners.setdefault(image.repository, []).append(str(image.directory))
    for repository, directories in owners.items():
        if len(directories) > 1:
            what = f"{' and '.join(directories)} both go there"
            yield InputError(repository, what, "rename one directory, or set --layer-repository")


def _notes(build: BuildInfo) -> Iterable[str]:
    if not build.build and not build.commit:
        yield (
            "neither a build number nor a commit is known, so images get the tag latest only: "
            "run in a git checkout, or give --build-id or --commit"
        )
