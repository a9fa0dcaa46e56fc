"""Publishing, and what the registry then holds."""

import http.server
import threading
from collections.abc import Callable, Iterator

import dagger
import httpx
import pytest
from dagger import ImageLayerCompression, ImageMediaTypes, dag

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]
Write = Callable[..., str]

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


async def manifest_of(reference: str) -> tuple[str, str, dict]:
    """Media type, digest and document of what a reference names."""
    host, _, rest = reference.partition("/")
    name, _, tag = rest.partition("@") if "@" in rest else rest.rpartition(":")
    async with httpx.AsyncClient() as client:
        answer = await client.get(
            f"http://{host}/v2/{name.split(':')[0]}/manifests/{tag}",
            headers={"Accept": f"{OCI}, {DOCKER}"},
        )
    answer.raise_for_status()
    return answer.headers["Content-Type"], answer.headers["Docker-Content-Digest"], answer.json()


async def config_of(reference: str) -> dict:
    host, _, rest = reference.partition("/")
    digest = (await manifest_of(reference))[2]["config"]["digest"]
    name = rest.split("@")[0].split(":")[0]
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://{host}/v2/{name}/blobs/{digest}")).json()


@pytest.fixture
def address(registry_host: str, unique: str) -> str:
    return f"{registry_host}/conformance/{unique[:8]}:t1"


async def test_reference_and_manifest(base: dagger.Container, address: str) -> None:
    reference = await base.publish(address)
    assert reference.startswith(f"{address}@sha256:")
    media_type, digest, manifest = await manifest_of(address)
    assert media_type == OCI
    assert reference.endswith(digest)
    assert "manifests" not in manifest
    assert all(layer["mediaType"].endswith("tar+gzip") for layer in manifest["layers"])


async def test_without_a_tag(base: dagger.Container, address: str) -> None:
    name = address.rpartition(":")[0]
    reference = await base.publish(name)
    assert reference.startswith(f"{name}@sha256:")
    assert reference.endswith((await manifest_of(f"{name}:latest"))[1])


async def test_docker_media_types_and_forced_compression(
    base: dagger.Container, address: str
) -> None:
    await base.publish(
        address,
        media_types=ImageMediaTypes.DockerMediaTypes,
        forced_compression=ImageLayerCompression.Gzip,
    )
    media_type, _, manifest = await manifest_of(address)
    assert media_type == DOCKER
    assert {layer["mediaType"] for layer in manifest["layers"]} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }


async def test_configuration_of_a_container(base: dagger.Container, address: str) -> None:
    container = (
        base.with_env_variable("A", "1,2").with_workdir("/w").with_entrypoint(["e", "x y"])
        .with_default_args(["d"]).with_label("k", 'v "quoted", and more').with_user("guest")
    )  # fmt: skip
    document = await config_of(await container.publish(address))
    config = document["config"]
    assert "A=1,2" in config["Env"]
    assert config["WorkingDir"] == "/w"
    assert config["Entrypoint"] == ["e", "x y"]
    assert config["Cmd"] == ["d"]
    assert config["Labels"]["k"] == 'v "quoted", and more'
    assert config["User"] == "guest"
    assert document["os"] == "linux"
    assert document["architecture"] in ("amd64", "arm64")


async def test_a_docker_build_with_labels(image: str, context: Write, address: str) -> None:
    path = context(Dockerfile=f'FROM {image}\nRUN echo x > /x\nCMD ["a", "b"]\n')
    built = dag.host().directory(path).docker_build().with_label("org.example.commit", "abc,=d")
    config = (await config_of(await built.publish(address)))["config"]
    assert config["Labels"]["org.example.commit"] == "abc,=d"
    assert config["Labels"]["org.example.kind"] == "test"
    assert config["Cmd"] == ["a", "b"]
    assert config["WorkingDir"] == "/srv"


async def test_the_same_container_twice_has_one_digest(
    base: dagger.Container, address: str, unique: str
) -> None:
    container = base.with_exec(["sh", "-c", f"echo {unique} > /f"])
    first = await container.publish(address)
    again = await container.publish(f"{address}-again")
    assert first.partition("@")[2] == again.partition("@")[2]


async def test_mounts_and_secrets_are_not_published(base: dagger.Container, address: str) -> None:
    secret = dag.set_secret("not-published", "verysecret")
    plain = await base.with_env_variable("A", "1").publish(address)
    mounted = (
        base.with_env_variable("A", "1")
        .with_mounted_directory("/m", dag.directory().with_new_file("x", "data"))
        .with_secret_variable("S", secret)
        .with_mounted_secret("/s", secret)
    )
    reference = await mounted.publish(f"{address}-mounted")
    assert "verysecret" not in str(await config_of(reference))
    layers = [layer["digest"] for layer in (await manifest_of(reference))[2]["layers"]]
    assert layers == [layer["digest"] for layer in (await manifest_of(plain))[2]["layers"]]


async def test_what_was_published_can_be_used(base: dagger.Container, address: str) -> None:
    reference = await base.with_new_file("/published", "yes").publish(address)
    pulled = dag.container().from_(reference)
    assert await pulled.file("/published").contents() == "yes"
    pinned = address + "@" + reference.partition("@")[2]
    assert await dag.container().from_(pinned).file("/published").contents() == "yes"


async def test_a_registry_that_is_down(base: dagger.Container) -> None:
    with pytest.raises(dagger.QueryError, match="connection refused"):
        await base.publish("127.0.0.1:1/x/y:1")
    with pytest.raises(dagger.QueryError, match=r'failed to resolve image "127.0.0.1:1/x/y:1"'):
        await dag.container().from_("127.0.0.1:1/x/y:1").sync()


async def test_an_address_that_is_none(base: dagger.Container, registry_host: str) -> None:
    with pytest.raises(dagger.QueryError, match="invalid reference format"):
        await base.publish(f"{registry_host}/UPPER CASE")


class Guarded(http.server.BaseHTTPRequestHandler):
    """A registry's door: notes the login it is shown, and refuses it."""

    shown: list[str]

    def do_GET(self) -> None:
        self.shown.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str]]]:
    shown: list[str] = []
    handler = type("Handler", (Guarded,), {"shown": shown})
    # A port that real engines may be configured to speak plain HTTP to.
    for port in range(5001, 5010):
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
            break
        except OSError:
            continue
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{port}", shown
    server.shutdown()
    server.server_close()


async def test_registry_auth(base: dagger.Container, guarded: tuple[str, list[str]]) -> None:
    host, shown = guarded
    password = dag.set_secret("registry-password", "pass word")
    with pytest.raises(dagger.QueryError, match=r"401|[Uu]nauthorized|authorization failed"):
        await base.with_registry_auth(host, "AWS", password).publish(f"{host}/x:1")
    assert "Basic QVdTOnBhc3Mgd29yZA==" in shown
