"""Artifacts as CodePipeline hands them on: zips, without git and without file modes.

Sources: CodePipeline User Guide, "File permissions are not retained on source files … when ZIP
does not preserve external attributes" (troubleshooting) and "Git submodules" (the same page);
AWS CDK reference, ``CodeCommitSourceOptions.codeBuildCloneOutput`` (symlinks are removed).
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
_EARLIEST = 1980
_NO_UNIX = 0
"""``create_system`` of a zip whose entries have no modes (APPNOTE.TXT 4.4.2: MS-DOS)."""
_ARCHIVE = 0x20
"""The attribute that MS-DOS gives every file."""


def from_tar(stream: IO[bytes], target: Path, when: datetime) -> None:
    """A zip of the regular files of a tar stream; links and submodules are left out."""
    with (
        tarfile.open(fileobj=stream, mode="r|") as files,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for member in files:
            content = files.extractfile(member) if member.isreg() else None
            if content:
                with archive.open(_entry(member.name, when), "w") as entry:
                    shutil.copyfileobj(content, entry, 1 << 20)


def from_files(files: Iterable[tuple[str, Path]], target: Path) -> None:
    """A zip of files under the names given."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in files:
            when = datetime.fromtimestamp(path.stat().st_mtime)  # zips know no zone
            with path.open("rb") as content, archive.open(_entry(name, when), "w") as entry:
                shutil.copyfileobj(content, entry, 1 << 20)


def from_text(name: str, text: str, target: Path) -> None:
    """A zip of one file."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, text)


def unpacked(archive: Path, target: Path) -> Path:
    """Unpacks an artifact into an empty directory, every file with the same mode.

    Not the mode of the moment (umask): on a build host that is always this one.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=DIRECTORY_MODE)
    with zipfile.ZipFile(archive) as files:
        files.extractall(target)  # noqa: S202 - zipfile keeps every name below the target
    for path in target.rglob("*"):
        path.chmod(DIRECTORY_MODE if path.is_dir() else FILE_MODE)
    return target


def text_of(archive: Path, name: str) -> str | None:
    """The text of one file of an artifact; None where it has no such file.

    Raises UnicodeDecodeError.
    """
    with zipfile.ZipFile(archive) as files:
        try:
            return files.read(name).decode()
        except KeyError:
            return None


def names_of(archive: Path) -> list[str]:
    """The files of an artifact, sorted."""
    with zipfile.ZipFile(archive) as files:
        return sorted(name for name in files.namelist() if not name.endswith("/"))


def _entry(name: str, when: datetime) -> zipfile.ZipInfo:
    moment = (max(when.year, _EARLIEST), *when.timetuple()[1:6])
    entry = zipfile.ZipInfo(name, moment)
    entry.create_system = _NO_UNIX
    entry.external_attr = _ARCHIVE  # zipfile would give it a mode
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
