"""Temporary files of one session, gone when it ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ScratchSpace:
    """A private directory (mode 0700) that is removed with everything in it."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = Path(tempfile.mkdtemp(prefix="session-", dir=parent))

    def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def keep(self) -> Path:
        """A new directory that lives as long as the session."""
        return Path(tempfile.mkdtemp(dir=self.root))

    @contextmanager
    def directory(self) -> Iterator[Path]:
        path = self.keep()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The path of a file that does not exist yet."""
        with self.directory() as directory:
            yield directory / "file"
