"""The registry client against Debian's docker-registry, with a faulty network in between."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from kit import registries as kit
from kit.proxy import Fault, faulty

from ci.errors import InputError
from ci.registry.client import Registries, RegistryError, connect
from ci.registry.credentials import Login
from ci.registry.reference import Reference, parse, parse_repository
from ci.registry.retry import Policy

QUICK = Policy(attempts=4, first=0.001)
T = TypeVar("T")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kit.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kit.running(tmp_path_factory.mktemp("locked"), login=True) as running:
        yield running


def ask(question: Callable[[Registries], Awaitable[T]], **options: object) -> T:
    async def run() -> T:
        async with connect(**{"policy": QUICK, **options}) as registries:  # type: ignore[arg-type]
            return await question(registries)

    return anyio.run(run)


def test_a_tag_is_resolved_to_the_digest_that_the_registry_gives(host: str) -> None:
    digest = kit.push_image(host, "a/b", "1")
    assert ask(lambda client: client.digest(parse(f"{host}/a/b:1"))) == digest


def test_a_tag_of_an_index_is_resolved_to_the_indexs_digest(host: str) -> None:
    """So that a pinned FROM builds on any platform that the index has."""
    one = kit.push_image(host, "index", "one")
    entry = {"mediaType": kit.MANIFEST, "digest": one, "size": 1,
             "platform": {"os": "linux", "architecture": "amd64"}}  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": kit.INDEX, "manifests": [entry]}
    digest = kit.put_manifest(host, "index", "all", index, kit.INDEX)
    assert ask(lambda client: client.digest(parse(f"{host}/index:all"))) == digest != one


def test_a_digest_is_not_asked_for(host: str) -> None:
    digest = "sha256:" + "1" * 64
    assert ask(lambda client: client.digest(parse(f"{host}/nothing@{digest}"))) == digest


def test_a_manifest_goes_under_further_tags_unchanged(host: str) -> None:
    digest = kit.push_image(host, "tagged", "pushed")
    repository = parse_repository(f"{host}/tagged")

    async def tag(client: Registries) -> None:
        manifest = await client.manifest(repository, "pushed")
        assert manifest.digest == digest
        config = await client.config(repository, manifest.document["config"]["digest"])
        assert config["architecture"] == "amd64"
        await client.tag(repository, manifest, "build-1")
        await client.tag(repository, manifest, "latest")

    ask(tag)
    assert kit.tags(host, "tagged") == dict.fromkeys(("pushed", "build-1", "latest"), digest)


@pytest.mark.parametrize("what", [429, 500, 503, "reset"])
def test_transient_failures_are_asked_again(what: int | str, host: str) -> None:
    digest = kit.push_image(host, "flaky", "1")
    with faulty(host, Fault("HEAD", "flaky", what, times=3)) as proxy:
        said: list[str] = []
        found = ask(lambda client: client.digest(parse(f"{proxy.host}/flaky:1")), say=said.append)
        assert found == digest
        assert len(said) == 3
        assert len(proxy.seen) == 4


@pytest.mark.parametrize("what", [429, 503, "reset"])
def test_what_does_not_pass_is_given_up_with_a_reason(what: int | str, host: str) -> None:
    with faulty(host, Fault("HEAD", "flaky", what, times=99)) as proxy:
        with pytest.raises(RegistryError, match=r"4 attempts") as raised:
            ask(lambda client: client.digest(parse(f"{proxy.host}/flaky:1")))
        assert raised.value.status == 0
        assert len(proxy.seen) == 4


def test_a_put_that_breaks_off_is_repeated(host: str) -> None:
    digest = kit.push_image(host, "broken-put", "pushed")
    with faulty(host, Fault("PUT", "manifests", "drop", after=0)) as proxy:
        repository = parse_repository(f"{proxy.host}/broken-put")

        async def tag(client: Registries) -> None:
            await client.tag(repository, await client.manifest(repository, digest), "1")

        ask(tag)
    assert kit.tags(host, "broken-put")["1"] == digest


def test_an_answer_is_not_asked_again(host: str) -> None:
    with faulty(host) as proxy:
        with pytest.raises(RegistryError, match="is not there") as raised:
            ask(lambda client: client.digest(parse(f"{proxy.host}/no/such:1")))
        assert raised.value.status == 404
        assert len(proxy.seen) == 1


def test_a_registry_that_is_down_is_told(host: str) -> None:
    with pytest.raises(RegistryError, match=r"^127.0.0.1:1: connection refused \(3"):
        ask(lambda client: client.ping("127.0.0.1:1"))
    ask(lambda client: client.ping(host))


def test_basic_credentials(locked: str) -> None:
    with pytest.raises(RegistryError, match="refuses our credentials") as raised:
        ask(lambda client: client.ping(locked))
    assert raised.value.status == 401
    wrong = {locked: Login(locked, kit.USER, "wrong")}
    with pytest.raises(RegistryError, match=f"log in to {locked}"):
        ask(lambda client: client.ping(locked), logins=wrong)
    ask(lambda client: client.ping(locked), logins={locked: Login(locked, kit.USER, kit.PASSWORD)})


def test_a_password_is_in_no_message() -> None:
    login = Login("x.io", "user", "hunter2")
    assert "hunter2" not in repr(login)
    assert "hunter2" not in f"{[login]}"


def test_mirrors_are_asked_first_and_the_upstream_when_they_lack_it(host: str) -> None:
    digest = kit.push_image(host, "lambda/python", "3.13")
    with faulty(host) as mirror, faulty(host) as upstream:
        mirrors = ((upstream.host, mirror.host),)
        found = ask(
            lambda client: client.digest(parse(f"{upstream.host}/lambda/python:3.13")),
            mirrors=mirrors,
        )
        assert found == digest
        path = f"/v2/lambda/python/manifests/3.13?ns={upstream.host}"
        assert mirror.seen == [("HEAD", path)]
        assert upstream.seen == []
        mirror.faults.append(Fault("HEAD", "lambda", 503, times=99))
        ask(lambda client: client.digest(parse(f"{upstream.host}/lambda/python:3.13")),
            mirrors=mirrors)  # fmt: skip
        assert upstream.seen == [("HEAD", "/v2/lambda/python/manifests/3.13")]
        with pytest.raises(RegistryError, match=f"its mirror {mirror.host}"):
            ask(lambda client: client.digest(Reference(upstream.host, "none", "1")),
                mirrors=mirrors)  # fmt: skip


def test_a_token_service_is_asked_for_the_scope_once() -> None:
    """Docker's token authentication, which public.ecr.aws and Docker Hub ask for."""
    with _token_registry() as (host, asked):
        login = {host: Login(host, "user", "pass")}

        async def twice(client: Registries) -> None:
            for _ in range(2):
                assert await client.digest(parse(f"{host}/a/b:1")) == "sha256:" + "7" * 64

        ask(twice, logins=login)
    basic = f"Basic {base64.b64encode(b'user:pass').decode()}"
    assert asked == [("test", "repository:a/b:pull", basic)]


@contextlib.contextmanager
def _token_registry() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """A registry that takes nothing but a token of its own service."""
    asked: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            asked.append((query["service"][0], query["scope"][0], self.headers["Authorization"]))
            body = json.dumps({"token": "granted"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            if self.headers.get("Authorization") == "Bearer granted":
                self.send_response(200)
                self.send_header("Docker-Content-Digest", "sha256:" + "7" * 64)
            else:
                realm = f"http://{self.headers['Host']}/token"
                self.send_response(401)
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="test"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_ca_bundle_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    with pytest.raises(InputError, match="is no CA bundle"):
        ask(lambda client: client.ping("127.0.0.1:1"), ca_bundle=str(bundle))


def test_every_tag_of_a_repository_however_many(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.registry.client._PAGE", 2)
    names = [f"tag-{number}" for number in range(5)]
    for name in names:
        kit.push_image(host, "many", name, content=name)
    repository = parse_repository(f"{host}/many")
    assert ask(lambda client: client.tags(repository)) == names
    assert ask(lambda client: client.tags(parse_repository(f"{host}/nothing"))) == []


def test_a_manifest_goes_with_all_its_tags_and_alone(host: str) -> None:
    gone = kit.push_image(host, "thinned", "one")
    kit.push_image(host, "thinned", "too", content="x")  # the same bytes: the same image
    kept = kit.push_image(host, "thinned", "other", content="other")
    repository = parse_repository(f"{host}/thinned")

    async def delete(client: Registries) -> None:
        await client.delete(repository, gone)
        await client.delete(repository, gone)  # it is gone: no error

    ask(delete)
    assert kit.tags(host, "thinned") == {"other": kept}
