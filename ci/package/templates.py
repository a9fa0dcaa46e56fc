"""Templates as they are in the source tree, with all that they refer to."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci import cfn_yaml
from ci.errors import InputError
from ci.package import references
from ci.package.artifacts import files
from ci.package.places import Place, tell


@dataclass(frozen=True)
class Artifact:
    """A file or directory that a template refers to; ``zipped`` ones are uploaded as a zip."""

    place: Place
    path: Path
    zipped: bool


@dataclass(frozen=True)
class Template:
    """A template in long form. ``nested`` are the local templates of its stacks, by place."""

    path: Path
    document: dict[str, Any]
    artifacts: tuple[Artifact, ...] = ()
    nested: tuple[tuple[Place, Template], ...] = ()

    @property
    def declared(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters that it declares."""
        found = self.document.get("Parameters") or {}
        return {name: each for name, each in found.items() if isinstance(each, dict)}


def read(path: Path, problems: list[InputError], above: tuple[Path, ...] = ()) -> Template | None:
    """A template and the templates nested in it; None, with problems noted, if it is none.

    ``above`` are the templates that it is nested in.
    """
    document = _document(path, problems)
    if document is None:
        return None
    if not isinstance(document.get("Resources"), dict) or not document["Resources"]:
        problems.append(InputError(str(path), "has no Resources", "declare at least one"))
        return None
    artifacts = [
        artifact
        for reference in references.local_files(document)
        if (artifact := _artifact(path, reference, problems))
    ]
    nested = []
    for reference in references.nested_templates(document):
        child = path.parent / reference.value
        where = f"{path}: {tell(reference.place)}"
        if not child.is_file():
            problems.append(_missing(where, reference.value))
        elif child.resolve() in (chain := (*above, path.resolve())):
            what = f"nests {reference.value}, which this template is nested in"
            problems.append(InputError(where, what, "break the circle"))
        elif template := read(child, problems, chain):
            nested.append((reference.place, template))
    return Template(path, document, tuple(artifacts), tuple(nested))


def _document(path: Path, problems: list[InputError]) -> dict[str, Any] | None:
    try:
        return cfn_yaml.load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 (byte {error.start})"
        problems.append(InputError(str(path), what, "save it as UTF-8"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        problems.append(InputError(str(path), what, "make it readable"))
    except cfn_yaml.CfnYamlError as error:
        fix = "mend it; `cfn-lint` shows more"
        problems.append(InputError(f"{path}:{error.line}", f"is no template: {error}", fix))
    return None


def _artifact(
    path: Path, reference: references.Reference, problems: list[InputError]
) -> Artifact | None:
    where = f"{path}: {tell(reference.place)}"
    target = path.parent / reference.value
    if target.is_dir():
        if next(files(target), None) is None:
            what = f"refers to {reference.value!r}, which has no file in it"
            problems.append(InputError(where, what, "put the code there"))
            return None
        return Artifact(reference.place, target, True)
    if not target.is_file():
        problems.append(_missing(where, reference.value))
        return None
    return Artifact(reference.place, target, reference.zipped and not zipfile.is_zipfile(target))


def _missing(where: str, value: str) -> InputError:
    fix = "add the file, or correct the path: it counts from the template's directory"
    return InputError(where, f"refers to {value!r}, which is not there", fix)
