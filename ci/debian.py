"""Programs out of Debian's packages, unpacked into a directory: nothing is installed or started."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ci.errors import InputError


def unpack(package: str, into: Path, environ: Mapping[str, str]) -> None:
    """Download a package from the machine's own package sources and unpack it below ``into``.

    Needs no root: where the machine's package lists are missing or stale, fresh ones are fetched
    into a temporary directory. Raises InputError where there is no apt, no network or no package.
    """
    path = environ.get("PATH")
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program, path=path) is None:
            raise InputError(
                package,
                f"cannot be unpacked: there is no {program} on this machine",
                f"install {package} with your system's package manager, so that it is on PATH",
            )
    with tempfile.TemporaryDirectory(prefix="deb-") as name:
        scratch = Path(name)
        if not (deb := _download(package, scratch, [], environ)):
            (scratch / "lists" / "partial").mkdir(parents=True)
            own_lists = ["-o", f"Dir::State::Lists={scratch}/lists", "-o", "Dir::Cache::pkgcache="]
            # Its exit code says little (one dead third-party source is enough): the download does.
            update = _apt(["update", *own_lists], scratch, environ)
            if not (deb := _download(package, scratch, own_lists, environ)):
                raise InputError(
                    package,
                    "cannot be downloaded from this machine's Debian package sources:\n"
                    + "\n".join(update.stderr.splitlines()[-5:]),
                    f"check the network and /etc/apt, or install {package} so that it is on PATH",
                )
        into.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, into], check=True, env=dict(environ))


def architecture(environ: Mapping[str, str]) -> str:
    """Debian's name of this machine's architecture, such as ``amd64`` or ``arm64``."""
    return subprocess.run(
        ["dpkg", "--print-architecture"],
        check=True,
        capture_output=True,
        text=True,
        env=dict(environ),
    ).stdout.strip()


def _download(
    package: str, into: Path, options: list[str], environ: Mapping[str, str]
) -> Path | None:
    _apt(["download", *options, package], into, environ)
    return next(into.glob("*.deb"), None)


def _apt(
    arguments: list[str], cwd: Path, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Without the option, apt warns that its own user may not write into our directory.
        ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments],
        cwd=cwd,
        env={**environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
