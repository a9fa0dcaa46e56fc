"""Whether the real base image can be pulled, asked through a proxy that plays the network."""

import asyncio
import contextlib
import ssl
import time

import pytest
from kit.certificates import self_signed

from ci.errors import InputError
from ci.home import Home
from ci.local import standin

REGISTRY = (
    b"HTTP/1.1 401 Unauthorized\r\nDocker-Distribution-Api-Version: registry/2.0\r\n"
    b"Content-Length: 0\r\n\r\n"
)
PORTAL = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A PEM file with the key and the certificate of the upstream registry."""
    certificate, key = self_signed(standin.UPSTREAM)
    file = tmp_path_factory.mktemp("tls") / "upstream.pem"
    file.write_bytes(key + certificate)
    return file


def ask(certificate, answer, *, connect=b"HTTP/1.1 200 OK\r\n\r\n", trusted=True, seconds=5.0):
    """``upstream_reachable`` where the proxy says ``connect`` and then the upstream ``answer``."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    async def proxy(reader, writer):
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT public.ecr.aws:443")
            writer.write(connect)
            await writer.drain()
            if b" 200 " in connect:
                await writer.start_tls(tls)
                await reader.readuntil(b"\r\n\r\n")
                await (asyncio.sleep(60) if answer is None else asyncio.sleep(0))
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        if trusted:
            environ["SSL_CERT_FILE"] = str(certificate)
        try:
            return await standin.upstream_reachable(environ, seconds)
        finally:
            server.close()

    return asyncio.run(main())


def test_a_registry_that_asks_for_a_token_is_reachable(certificate):
    assert ask(certificate, REGISTRY)


def test_a_portal_in_its_place_is_not(certificate):
    assert not ask(certificate, PORTAL)


def test_neither_is_one_behind_a_proxy_that_refuses(certificate):
    assert not ask(certificate, REGISTRY, connect=b"HTTP/1.1 403 Forbidden\r\n\r\n")


def test_nor_one_whose_certificate_nobody_vouches_for(certificate):
    assert not ask(certificate, REGISTRY, trusted=False)


def test_nor_one_that_keeps_silent_for_too_long(certificate):
    begun = time.monotonic()
    assert not ask(certificate, None, seconds=0.3)
    assert time.monotonic() - begun < 2


def test_nor_one_behind_a_proxy_that_is_gone():
    environ = {"HTTPS_PROXY": "http://127.0.0.1:1"}
    assert not asyncio.run(standin.upstream_reachable(environ))


def test_a_bundle_without_certificates_is_named(tmp_path):
    for name in ("missing.pem", "empty.pem"):
        (tmp_path / "empty.pem").touch()
        with pytest.raises(InputError, match=f"SSL_CERT_FILE=.*{name}: cannot be used"):
            asyncio.run(standin.upstream_reachable({"SSL_CERT_FILE": str(tmp_path / name)}))


def test_an_interrupted_installation_counts_as_missing(tmp_path):
    home = Home(tmp_path)
    (tool,) = standin.missing(home)
    assert "public.ecr.aws/lambda/python:3.13" in tool.why
    context = standin._context(home)
    context.mkdir(parents=True)
    (context / "rootfs.tar").touch()
    assert standin.missing(home)
    (context / "complete").touch()
    assert standin.missing(home) == []
