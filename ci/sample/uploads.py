"""Files on their way into the central bucket."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ci import aws
from ci.errors import InputError
from ci.sample.lake import Lake

AT_ONCE = 8


def files(directory: Path) -> list[Path]:
    """The files below a directory, hidden ones left out. Raises InputError without any."""
    if not directory.is_dir():
        raise InputError(str(directory), "is no directory", "name one that holds files to upload")
    found = [
        path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not _hidden(path.relative_to(directory))
    ]
    if not found:
        raise InputError(str(directory), "holds no file", "name one that holds files to upload")
    return found


def folder(dataset: str) -> str:
    """``TEAM/DATASET/`` of ``TEAM/DATASET``. Raises InputError for anything else."""
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", dataset):
        raise InputError(f"dataset {dataset!r}", "is not TEAM/DATASET", "as engineering/meteorites")
    return f"{dataset}/"


def upload(lake: Lake, directory: Path, paths: Sequence[Path], dataset: str) -> list[str]:
    """Upload files below ``TEAM/DATASET/``, by their paths within ``directory``; their keys."""
    s3 = lake.client("s3")
    keys = [folder(dataset) + path.relative_to(directory).as_posix() for path in paths]

    def put(pair: tuple[Path, str]) -> None:
        with aws.explained("Amazon S3", "s3:PutObject"), pair[0].open("rb") as body:
            s3.put_object(Bucket=lake.central, Key=pair[1], Body=body)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(put, zip(paths, keys, strict=True)))
    return keys


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
