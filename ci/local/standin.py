"""A stand-in for ``public.ecr.aws/lambda/python:3.13``, for machines that cannot pull it.

Python 3.13 from Debian, the Lambda runtime client and boto3 from PyPI, with the entry point
contract of the AWS image. It is not Amazon Linux: no ``dnf``, no Runtime Interface Emulator. It
lies in the local registry under the name that a registry mirror looks up, so Dockerfiles stay as
they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from ci.daemons import locked, replace_text
from ci.debian import architecture, download_with_dependencies
from ci.errors import InputError
from ci.home import Home
from ci.local.registry import Registry
from ci.registry.reference import Reference
from ci.tools import Tool

UPSTREAM = "public.ecr.aws"
REPOSITORY = "lambda/python"
TAG = "3.13"
SUITE = "trixie"  # the Debian release that has Python 3.13
PACKAGES = [
    *("base-files", "bash", "coreutils", "dash", "findutils", "grep", "gzip", "libc-bin", "mawk"),
    *("libstdc++6", "python3", "sed", "tar"),  # libstdc++6: wheels count on it
]
# What an image needs at run time is neither documentation nor translated messages.
LEFT_OUT = (
    *(
        f"./usr/share/{name}/"
        for name in ("debconf", "doc", "doc-base", "info", "lintian", "locale", "man", "perl5")
    ),
    "./usr/lib/python3.13/EXTERNALLY-MANAGED",  # it would forbid `RUN pip install`
)
WHEEL_PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}  # the two that Lambda runs
RECIPE = Path(__file__).with_name("base_image")
KEY_LABEL = "stand-in.key"
CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # openSUSE
)


def missing(home: Home) -> list[Tool]:
    """What ``install`` would fetch."""
    if (_context(home) / "complete").is_file():
        return []
    why = f"stands in for {UPSTREAM}/{REPOSITORY}:{TAG} where it cannot be pulled (45 MB download)"
    return [Tool("stand-in base image", why)]


def install(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Gather everything that the image is built from, so that ``publish`` needs no network.

    Raises InputError where Debian's packages or the wheels cannot be downloaded.
    """
    context = _context(home)
    context.parent.mkdir(parents=True, exist_ok=True)
    with locked(context.parent / "lock"):
        if not missing(home):
            return
        _discard_others(context)
        shutil.copytree(RECIPE, context, dirs_exist_ok=True)
        for what, step in (("Debian's Python 3.13", _rootfs), ("the Lambda runtime", _wheels)):
            say(f"stand-in base image: fetching {what}")
            begun = time.monotonic()
            step(context, environ)
            say(f"stand-in base image: {what} done in {time.monotonic() - begun:.1f} s")
        (context / "complete").touch()


async def publish(home: Home, registry: Registry, ca_bundle: str | None = None) -> str:
    """Build the image in the current Dagger session, push it, and return its digest.

    ``ca_bundle`` (default: this machine's) goes into the image, so that builds can install packages
    where the network intercepts TLS. Does nothing where the registry already holds this very image.
    Raises InputError where a CA bundle or what ``install`` gathers is missing.
    """
    from dagger import dag

    from ci.building.images import pushed

    context = _context(home)
    if missing(home):
        raise InputError(
            "stand-in base image",
            f"not installed in {context}",
            "run `make setup`",
        )
    certificates = _ca_bundle(ca_bundle).read_text()
    key = hashlib.sha256(f"{context.name}\n{certificates}".encode()).hexdigest()
    if digest := await _published(registry, key):
        return digest
    replace_text(context / "ca-certificates.crt", certificates)
    image = (
        dag.host()
        .directory(str(context))
        .docker_build()
        .with_label("org.opencontainers.image.title", f"Stand-in for {UPSTREAM}/{REPOSITORY}:{TAG}")
        .with_label(KEY_LABEL, key)
    )
    return await pushed(image, f"{registry.host}/{REPOSITORY}:{TAG}")


async def upstream_reachable(environ: Mapping[str, str], seconds: float = 1.5) -> bool:
    """Whether the real image could be pulled: does its registry answer as a registry?

    A captive portal or a filtering proxy that answers in its place does not count. Raises
    InputError where ``SSL_CERT_FILE`` names no certificates.
    """
    import httpx

    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy") or None
    bundle = environ.get("SSL_CERT_FILE") or None
    try:
        tls = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise InputError(
            f"SSL_CERT_FILE={bundle}",
            f"cannot be used: {error.strerror or error}",
            "name a file with certificates in PEM format, or unset it",
        ) from error
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(proxy=proxy, verify=tls, trust_env=False) as client,
        ):
            response = await client.get(f"https://{UPSTREAM}/v2/")
    except (TimeoutError, httpx.HTTPError):
        return False
    return response.status_code in (200, 401) and (
        "Docker-Distribution-Api-Version" in response.headers
    )


def _context(home: Home) -> Path:
    """The build context, in a directory of its own for each recipe: its name is the recipe's."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, LEFT_OUT)).encode())
    for file in sorted(RECIPE.iterdir()):
        recipe.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return home.local / "stand-in" / recipe.hexdigest()[:16]


def _discard_others(context: Path) -> None:
    for other in context.parent.iterdir():
        if other.is_dir():
            shutil.rmtree(other)


def _rootfs(context: Path, environ: Mapping[str, str]) -> None:
    """Write ``rootfs.tar``: the files of Debian's packages, as if unpacked over one another.

    No maintainer script runs, so neither root nor a chroot is needed; what those would have done
    and a function needs, the Dockerfile does.
    """
    debs = download_with_dependencies(PACKAGES, SUITE, context / "debs", environ)
    # Everything else unpacks through base-files' links from /bin and /lib into /usr.
    debs.sort(key=lambda deb: not deb.name.startswith("base-files_"))
    written: set[str] = set()
    with tarfile.open(context / "rootfs.tar", "w") as rootfs:
        for deb in debs:
            for member, content in _files(deb, environ):
                if member.name not in written:
                    written.add(member.name)
                    rootfs.addfile(member, content)
    shutil.rmtree(context / "debs")


def _files(
    deb: Path, environ: Mapping[str, str]
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(environ)) as unpacker,
        tarfile.open(fileobj=unpacker.stdout, mode="r|") as files,
    ):
        for member in files:
            if not f"{member.name}/".startswith(LEFT_OUT):
                yield member, files.extractfile(member) if member.isreg() else None
    if unpacker.returncode:
        raise InputError(str(deb), "is damaged", "check the disk, and run `make setup` again")


def _wheels(context: Path, environ: Mapping[str, str]) -> None:
    machine = WHEEL_PLATFORMS.get(arch := architecture(environ))
    if machine is None:
        raise InputError(
            "stand-in base image",
            f"cannot be made for {arch}: Lambda runs {' and '.join(WHEEL_PLATFORMS)} only",
            "build on such a machine",
        )
    platforms = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_28", "manylinux2014")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"),
            *("--python-version=3.13", "--implementation=cp", "--abi=cp313", *platforms),
            *("-d", str(context / "wheels"), "-r", str(context / "requirements.txt")),
        ],
        capture_output=True,
        text=True,
        env=dict(environ),
        check=False,
    )
    if done.returncode:
        raise InputError(
            "wheels of the stand-in base image",
            "cannot be downloaded:\n" + "\n".join(done.stderr.strip().splitlines()[-5:]),
            "check the network; pip's own settings (PIP_INDEX_URL, PIP_CERT, pip.conf) are used",
        )


def _ca_bundle(named: str | None) -> Path:
    candidates = [named] if named else [*CA_BUNDLES]
    for candidate in candidates:
        if (bundle := Path(candidate)).is_file():
            return bundle
    raise InputError(
        "CA bundle for the stand-in base image",
        f"not found: {', '.join(candidates)}",
        "install ca-certificates, or name the bundle's file",
    )


async def _published(registry: Registry, key: str) -> str | None:
    """The digest of the image in the registry if it has this key."""
    from ci.registry.client import RegistryError, connect

    image = Reference(registry.host, REPOSITORY, TAG)
    async with connect() as registries:
        try:
            manifest = await registries.manifest(image, TAG)
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
        config = await registries.config(image, manifest.document["config"]["digest"])
    labels = config.get("config", {}).get("Labels") or {}
    return manifest.digest if labels.get(KEY_LABEL) == key else None
