"""Debian's packages as files: downloaded and unpacked, never installed. Needs no root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.errors import InputError

UPDATE_HOOKS = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack(package: str, into: Path, environ: Mapping[str, str]) -> None:
    """Download a package from the machine's own package sources and unpack it below ``into``.

    Where the machine's package lists are missing or stale, fresh ones are fetched into a temporary
    directory. Raises InputError where there is no apt, no network or no such package.
    """
    _need_apt(package, environ)
    with tempfile.TemporaryDirectory(prefix="deb-") as name:
        scratch = Path(name)
        _apt(["download", package], scratch, environ)
        if not (deb := next(scratch.glob("*.deb"), None)):
            own = _own_state(scratch)
            update = _apt(["update"], scratch, environ, own)
            # Its exit code says little (a dead third-party source is enough), the download does.
            _apt(["download", package], scratch, environ, own)
            if not (deb := next(scratch.glob("*.deb"), None)):
                raise _not_downloaded(package, update)
        into.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, into], check=True, env=dict(environ))


def download_with_dependencies(
    packages: Sequence[str], suite: str, into: Path, environ: Mapping[str, str]
) -> list[Path]:
    """The packages of a Debian suite and all that they depend on, as .deb files sorted by name.

    From the mirror that this machine uses for Debian, else from deb.debian.org; apt checks the
    signatures. Raises InputError as ``unpack`` does.
    """
    what = f"Debian {suite}"
    _need_apt(what, environ)
    with tempfile.TemporaryDirectory(prefix="deb-") as name:
        scratch = Path(name)
        keyring = KEYRING
        if not keyring.exists():
            unpack("debian-archive-keyring", scratch / "keyring", environ)
            keyring = scratch / "keyring" / KEYRING.relative_to("/")
        sources = scratch / "sources.list"
        sources.write_text(f"deb [signed-by={keyring}] {_mirror(scratch, environ)} {suite} main\n")
        (scratch / "installed").touch()
        own = _own_state(
            scratch,
            f'Dir::Etc::SourceList "{sources}"; Dir::Etc::SourceParts "/dev/null";',
            f'Dir::State::status "{scratch}/installed"; Dir::Cache "{scratch}/cache";',
            'APT::Install-Recommends "false"; Acquire::Languages "none";',
        )
        (scratch / "cache/archives/partial").mkdir(parents=True)
        install = ["install", "--download-only", "--yes", *packages]
        for arguments in (["update"], install):
            done = _apt(arguments, scratch, environ, own)
            if done.returncode:
                raise _not_downloaded(what, done)
        into.mkdir(parents=True, exist_ok=True)
        downloaded = sorted((scratch / "cache/archives").glob("*.deb"))
        return [Path(shutil.move(deb, into / deb.name)) for deb in downloaded]


def architecture(environ: Mapping[str, str]) -> str:
    """Debian's name of this machine's architecture, such as ``amd64`` or ``arm64``."""
    _need_apt("this machine's architecture", environ)
    return subprocess.run(
        ["dpkg", "--print-architecture"],
        check=True,
        capture_output=True,
        text=True,
        env=dict(environ),
    ).stdout.strip()


def _need_apt(what: str, environ: Mapping[str, str]) -> None:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program, path=environ.get("PATH")) is None:
            raise InputError(
                what,
                f"cannot be fetched: there is no {program} on this machine",
                "use a Debian or Ubuntu machine, or install it so that it is on PATH",
            )


def _own_state(scratch: Path, *options: str) -> Path:
    """A configuration with which apt keeps its lists below ``scratch`` and touches nothing else.

    The machine's apt.conf still holds (a proxy may stand there), except for the hooks of
    ``apt-get update``, which would work on the machine's own caches.
    """
    (scratch / "lists" / "partial").mkdir(parents=True)
    configuration = scratch / "apt.conf"
    configuration.write_text(
        "\n".join(
            [
                f'Dir::State::Lists "{scratch}/lists";',
                'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";',
                *(f"#clear APT::Update::{hook};" for hook in UPDATE_HOOKS),
                *options,
            ]
        )
    )
    return configuration


def _mirror(scratch: Path, environ: Mapping[str, str]) -> str:
    """Where this machine gets Debian from; private mirrors end in /debian as the real one does."""
    arguments = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    sites = _apt(arguments, scratch, environ).stdout.split()
    return next((s for s in sites if s.endswith("/debian/")), "http://deb.debian.org/debian/")


def _not_downloaded(what: str, done: subprocess.CompletedProcess[str]) -> InputError:
    said = "\n".join(done.stderr.strip().splitlines()[-5:])
    return InputError(
        what,
        f"cannot be downloaded from this machine's Debian package sources:\n{said}",
        "check the network and /etc/apt, or install it so that it is on PATH",
    )


def _apt(
    arguments: list[str], cwd: Path, environ: Mapping[str, str], configuration: Path | None = None
) -> subprocess.CompletedProcess[str]:
    own = ["-c", str(configuration)] if configuration else []
    return subprocess.run(
        # Without the option, apt warns that its own user may not write into our directory.
        ["apt-get", "-q", *own, "-o", "APT::Sandbox::User=root", *arguments],
        cwd=cwd,
        env={**environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
