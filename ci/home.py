"""Where set-up installs tools and daemons keep their state: one directory per user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

APP = "lambda-image-pipeline"


@dataclass(frozen=True)
class Home:
    """The user's cache directory of this project. Deleting it loses nothing but time."""

    root: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Home:
        """``PIPELINE_HOME``, else ``$XDG_CACHE_HOME/lambda-image-pipeline``, else ``~/.cache/…``.

        Source of the rule: XDG Base Directory Specification, section "Environment variables".
        """
        if own := environ.get("PIPELINE_HOME"):
            return cls(Path(own).expanduser().absolute())
        base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")) / ".cache")
        return cls(Path(base).expanduser().absolute() / APP)

    @property
    def bin(self) -> Path:
        """Programs that set-up installed: buildkitd, buildctl, runc, docker-registry, shim."""
        return self.root / "bin"

    @property
    def engine(self) -> Path:
        """State of the BuildKit daemon: socket, pid, log, configuration, cache."""
        return self.root / "engine"

    @property
    def local(self) -> Path:
        """State of the local cloud: the registry's blobs, the stand-in base image."""
        return self.root / "local"
