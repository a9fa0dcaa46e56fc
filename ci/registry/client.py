"""Client of the registry HTTP API: what a tag means, what a manifest holds, one more tag.

Sources: OCI Distribution Specification 1.1; Docker's "Token Authentication Specification"; and,
for mirrors, containerd's registry hosts (``?ns=`` names the upstream), as BuildKit asks them.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import httpx

from ci.errors import InputError, PipelineError
from ci.registry.auth import authorization
from ci.registry.credentials import Login
from ci.registry.reference import Reference, is_loopback
from ci.registry.retry import Policy, TransientError, retrying

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = {"Accept": ", ".join(MANIFESTS + INDEXES)}
_PAGE = 500
"""Tags in one answer."""
_FAULTS = {401: "refuses our credentials", 403: "does not let us in"}


class RegistryError(PipelineError):
    """A registry's definite answer, or its lasting silence. ``status`` is 0 for silence."""

    def __init__(self, where: str, what: str, fix: str, status: int) -> None:
        super().__init__(where, what, fix)
        self.status = status


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry keeps it: its digest is that of ``body``."""

    digest: str
    media_type: str
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body, read."""
        document = json.loads(self.body)
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True)
class Place:
    """Where to ask for a repository: an upstream host, or a mirror standing in for it."""

    host: str
    stands_for: str = ""

    def url(self, path: str) -> str:
        """Plain HTTP on this machine, HTTPS elsewhere."""
        host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        query = f"?ns={self.stands_for}" if self.stands_for else ""
        return f"{'http' if is_loopback(host) else 'https'}://{host}/v2/{path}{query}"


class Registries:
    """Every registry of a run. Made by ``connect``."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        mirrors: Sequence[tuple[str, str]],
        logins: Mapping[str, Login],
        policy: Policy,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._mirrors = mirrors
        self._logins = logins
        self._policy = policy
        self._say = say
        self._authorization: dict[tuple[str, str], str] = {}

    async def ping(self, host: str) -> None:
        """Raises RegistryError unless ``host`` answers and takes our credentials."""
        await self._ask("GET", Place(host), "", "", policy=replace(self._policy, attempts=3))

    async def digest(self, reference: Reference) -> str:
        """The digest that ``reference`` means now, of an index where it names one.

        The mirrors of its host are asked first, then the host, as BuildKit does when it pulls.
        Raises RegistryError.
        """
        if reference.digest:
            return reference.digest
        mirrors = [mirror for host, mirror in self._mirrors if host == reference.host]
        of_mirrors = ""
        for mirror in mirrors:
            try:
                return await self._digest(Place(mirror, reference.host), reference)
            except RegistryError as error:
                of_mirrors += f" (its mirror {mirror}: {error.what})"
        try:
            return await self._digest(Place(reference.host), reference)
        except RegistryError as error:
            raise RegistryError(
                error.where, error.what + of_mirrors, error.fix, error.status
            ) from error

    async def manifest(self, repository: Reference, reference: str) -> Manifest:
        """The manifest under a tag or digest. Raises RegistryError."""
        path = f"{repository.path}/manifests/{reference}"
        answer = await self._ask("GET", Place(repository.host), path, _pull(repository), _ACCEPT)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        return Manifest(digest, answer.headers.get("content-type", ""), answer.content)

    async def config(self, repository: Reference, digest: str) -> dict[str, Any]:
        """An image's configuration, by the digest that its manifest gives."""
        path = f"{repository.path}/blobs/{digest}"
        answer = await self._ask("GET", Place(repository.host), path, _pull(repository))
        document = answer.json()
        return document if isinstance(document, dict) else {}

    async def tag(self, repository: Reference, manifest: Manifest, tag: str) -> None:
        """Puts ``manifest`` under one more tag; its blobs are there already."""
        path = f"{repository.path}/manifests/{tag}"
        scope = f"repository:{repository.path}:pull,push"
        header = {"Content-Type": manifest.media_type}
        await self._ask("PUT", Place(repository.host), path, scope, header, manifest.body)

    async def tags(self, repository: Reference) -> list[str]:
        """Every tag of a repository, sorted; none where there is no such repository.

        Source: OCI Distribution Specification 1.1, "Listing Tags"; ``n`` and ``last`` page.
        """
        found: list[str] = []
        path = f"{repository.path}/tags/list"
        while True:
            query = f"?n={_PAGE}" + (f"&last={found[-1]}" if found else "")
            try:
                answer = await self._ask(
                    "GET", Place(repository.host), path + query, _pull(repository)
                )
            except RegistryError as error:
                if error.status == 404:
                    return []
                raise
            page = answer.json().get("tags") or []
            found += page
            if not page or "link" not in answer.headers:
                return sorted(found)

    async def delete(self, repository: Reference, digest: str) -> None:
        """Deletes a manifest and all its tags; it may be gone already. Raises RegistryError."""
        path = f"{repository.path}/manifests/{digest}"
        scope = f"repository:{repository.path}:delete"
        try:
            await self._ask("DELETE", Place(repository.host), path, scope)
        except RegistryError as error:
            if error.status != 404:
                raise

    async def _digest(self, place: Place, reference: Reference) -> str:
        path = f"{reference.path}/manifests/{reference.tag}"
        answer = await self._ask("HEAD", place, path, _pull(reference), _ACCEPT)
        if found := answer.headers.get("docker-content-digest"):
            return str(found)
        answer = await self._ask("GET", place, path, _pull(reference), _ACCEPT)
        return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    async def _ask(
        self,
        method: str,
        place: Place,
        path: str,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        policy: Policy | None = None,
    ) -> httpx.Response:
        """A successful answer. Transient failures are asked again; raises RegistryError."""
        where = f"{place.host}/{path}".rstrip("/")
        policy = policy or self._policy

        async def attempt() -> httpx.Response:
            try:
                answer = await self._send(method, place, path, scope, headers, body)
            except httpx.TransportError as error:
                raise TransientError(_in_words(error)) from error
            if answer.status_code == 429 or answer.status_code >= 500:
                what = f"HTTP {answer.status_code} {answer.reason_phrase}"
                raise TransientError(what, _seconds(answer.headers.get("retry-after")))
            return answer

        try:
            answer = await retrying(
                attempt, policy=policy, say=lambda text: self._say(f"{place.host}: {text}")
            )
        except TransientError as error:
            what = f"{error} ({policy.attempts} attempts)"
            fix = "see that the registry runs and can be reached from here, then run again"
            raise RegistryError(where, what, fix, 0) from error
        if answer.is_error:
            _refused(where, place, answer)
        return answer

    async def _send(
        self,
        method: str,
        place: Place,
        path: str,
        scope: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> httpx.Response:
        """One request, with the authorization that the registry asks for."""
        key = (place.host, scope)
        everything = dict(headers or {})
        if key in self._authorization:
            everything["Authorization"] = self._authorization[key]
        url = place.url(path)
        answer = await self._client.request(method, url, headers=everything, content=body)
        if answer.status_code != 401:
            return answer
        login = self._logins.get(place.host)
        granted = await authorization(self._client, answer, scope, login)
        if granted is None or granted == everything.get("Authorization"):
            return answer
        self._authorization[key] = everything["Authorization"] = granted
        return await self._client.request(method, url, headers=everything, content=body)


@asynccontextmanager
async def connect(
    *,
    mirrors: Sequence[tuple[str, str]] = (),
    logins: Mapping[str, Login] | None = None,
    ca_bundle: str | None = None,
    policy: Policy | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Registries]:
    """A client of all registries; ``ca_bundle`` is trusted besides the system's certificates.

    Raises InputError for a bundle that is none.
    """
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:
            fix = "name a file of PEM certificates"
            raise InputError(ca_bundle, f"is no CA bundle: {error}", fix) from error
    # A proxy of the environment is for the world outside, never for this machine.
    direct = {f"all://{host}": None for host in ("127.0.0.1", "localhost")}
    limits = httpx.Limits(max_connections=32)
    timeout = httpx.Timeout(30, connect=10)
    async with httpx.AsyncClient(
        verify=context, timeout=timeout, limits=limits, mounts=direct, follow_redirects=True
    ) as client:
        yield Registries(client, mirrors, logins or {}, policy or Policy(), say)


def _pull(repository: Reference) -> str:
    return f"repository:{repository.path}:pull"


def _seconds(text: str | None) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is left to the backoff."""
    return float(text) if text and text.isdigit() else None


def _in_words(error: httpx.TransportError) -> str:
    """What happened to a connection; httpx buries the system's own word for it."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and cause.errno:
            return (os.strerror(cause.errno) if cause.errno > 0 else str(cause)).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _refused(where: str, place: Place, answer: httpx.Response) -> NoReturn:
    """Raises RegistryError for an answer of 4xx, in the registry's own words where it has some."""
    try:
        errors = answer.json()["errors"]
        said = "; ".join(f"{each['code']}: {each.get('message', '')}" for each in errors)
    except (ValueError, KeyError, TypeError):
        said = answer.reason_phrase
    status = answer.status_code
    if status in _FAULTS:
        what = f"{_FAULTS[status]} (HTTP {status}, {said})"
        fix = f"log in to {place.host} with rights on this repository (docker login), and run again"
    elif status == 404:
        what, fix = f"is not there (HTTP 404, {said})", "see that the name and the tag are right"
    else:
        what, fix = f"HTTP {status}, {said}", "mend what the registry names, and run again"
    raise RegistryError(where, what, fix, status)
