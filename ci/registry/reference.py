"""Image references, and the names that registries take.

Sources: the OCI Distribution Specification 1.1 (repository names, tags), Docker's rule for short
names (``python`` is ``docker.io/library/python``), and the ``repositoryName`` pattern of the
Amazon ECR API (CreateRepository).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
)
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_ECR_NAME = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")
_ECR_LONGEST = 256
_ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)


class InvalidReference(ValueError):
    """Text that names no image."""


@dataclass(frozen=True)
class Reference:
    """An image, by full name: ``host/path[:tag][@digest]``."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """``host/path``."""
        return f"{self.host}/{self.path}"

    def at(self, digest: str) -> Reference:
        """The same reference, nailed to a digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.repository + tag + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """What ``FROM text`` means. Without tag and digest, the tag is ``latest``.

    Raises InvalidReference.
    """
    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise InvalidReference(f"{digest!r} is no sha256 digest")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not TAG.fullmatch(tag):
        raise InvalidReference(f"{tag!r} is no tag")
    return replace(parse_repository(name), tag=tag or ("" if digest else "latest"), digest=digest)


def parse_repository(text: str) -> Reference:
    """An image name without tag and digest. Raises InvalidReference."""
    host, slash, path = text.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", text if slash else f"library/{text}"
    if not HOST.fullmatch(host):
        raise InvalidReference(f"{host!r} is no registry host")
    if ":" in path or "@" in path:
        raise InvalidReference(f"{text!r} has a tag or digest; give the repository alone")
    if not _PATH.fullmatch(path):
        raise InvalidReference(f"{path!r} is no repository name")
    return Reference(host, path)


def is_loopback(host: str) -> bool:
    """Registries on this machine speak plain HTTP, as for Docker and BuildKit."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in ("localhost", "[::1]") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", name))


def is_ecr(registry: str) -> bool:
    """Whether ``registry`` is a private registry of Amazon ECR."""
    return bool(_ECR_HOST.match(registry))


def ecr_owner(host: str) -> tuple[str, str] | None:
    """Account and region of a private ECR registry."""
    match = _ECR_HOST.match(host)
    return (match["account"], match["region"]) if match else None


def refused_by_ecr(name: str) -> str | None:
    """Why Amazon ECR refuses a repository of this name; None when it takes it."""
    if not 2 <= len(name) <= _ECR_LONGEST:
        return f"has {len(name)} characters; ECR takes 2 to {_ECR_LONGEST}"
    if _ECR_NAME.fullmatch(name):
        return None
    if name != name.lower():
        return "has upper-case letters; ECR takes lower case only"
    if odd := sorted(set(re.sub(r"[a-z0-9._/-]", "", name))):
        shown = " ".join(repr(char) for char in odd)
        return f"has {shown}; ECR takes a-z, 0-9 and . _ - / only"
    return "must have a letter or digit around every single . _ - or /, as ECR asks"


def name_for_ecr(text: str) -> str:
    """A name like ``text`` that ECR takes, as a suggestion."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "function"
