"""Local files as the artifacts that are uploaded, the same bytes wherever they are made.

The AWS CLI names an upload after its bytes. A zip of its own holds the files' times and modes in
the order of the directory, and is as long as the machine's zlib makes it: a fresh clone would
upload everything anew, and every function would be updated. So these zips hold names and contents
only: sorted, stored, of one date and one mode.
"""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ci.package.places import put

if TYPE_CHECKING:
    from ci.package.templates import Template

ROOT = "template.json"
_NOISE = {"__pycache__", ".DS_Store"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Readable and executable for all: Lambda runs code as another user, and CodePipeline's source
# archives tell nothing of modes.
_MODE = 0o100755 << 16


def stage(template: Template, directory: Path) -> None:
    """Lays out a template, ``template.json``, and flat beside it everything that it refers to.

    In JSON, which no reader of YAML takes for something else. Raises OSError.
    """
    _stage(template, directory, ROOT, itertools.count(1))


def _stage(template: Template, directory: Path, name: str, numbers: Iterator[int]) -> None:
    document = copy.deepcopy(template.document)
    for artifact in template.artifacts:
        file = f"{next(numbers)}.artifact"
        if artifact.zipped:
            zip_deterministically(artifact.path, directory / file)
        else:
            shutil.copyfile(artifact.path, directory / file)
        put(document, artifact.place, file)
    for place, nested in template.nested:
        file = f"{next(numbers)}.json"
        _stage(nested, directory, file, numbers)
        put(document, place, file)
    (directory / name).write_text(json.dumps(document), encoding="utf-8")


def zip_deterministically(source: Path, target: Path) -> None:
    """A zip of a directory's files, or of one file: the same bytes for the same contents."""
    members = files(source) if source.is_dir() else iter([(source.name, source)])
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in members:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whose modes these are, whatever makes the zip
            entry.external_attr = _MODE
            entry.file_size = path.stat().st_size
            with path.open("rb") as content, archive.open(entry, "w") as member:
                shutil.copyfileobj(content, member, 1 << 20)


def files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Every file below, by its name from there with slashes, sorted; links are followed, but into
    no circle."""
    yield from _files(directory, "", ())


def _files(directory: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    here = (*above, directory.resolve())
    for path in sorted(directory.iterdir(), key=lambda each: each.name):
        if path.name in _NOISE:
            continue
        if path.is_dir():
            if path.resolve() not in here:
                yield from _files(path, f"{prefix}{path.name}/", here)
        else:
            yield prefix + path.name, path
