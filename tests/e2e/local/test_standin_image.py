"""The stand-in keeps the AWS image's contract, whether or not this machine needs it."""

import os
from pathlib import Path

import dagger
import httpx
import pytest
from dagger import dag

from ci.errors import InputError
from ci.home import Home
from ci.local import registry, standin

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture(scope="module")
async def published(session, user_home, local_registry):
    standin.install(user_home, os.environ, print)
    return await standin.publish(user_home, local_registry)


@pytest.fixture
def container(published, local_registry):
    return dag.container().from_(f"{local_registry.host}/{standin.REPOSITORY}@{published}")


async def shell(container, command):
    return (await container.with_exec(["/bin/sh", "-c", command]).stdout()).strip()


async def test_its_configuration_is_that_of_the_aws_image(container):
    assert await container.entrypoint() == ["/lambda-entrypoint.sh"]
    assert await container.workdir() == "/var/task"
    assert await container.env_variable("LAMBDA_TASK_ROOT") == "/var/task"
    assert await container.env_variable("LAMBDA_RUNTIME_DIR") == "/var/runtime"
    assert await container.env_variable("TZ") == ":/etc/localtime"


async def test_python_and_pip_are_there_under_their_usual_names(container):
    for python in ("python", "python3", "python3.13"):
        assert (await shell(container, f"{python} --version")).startswith("Python 3.13.")
    for pip in ("pip", "pip3", "python -m pip"):
        assert "python 3.13" in await shell(container, f"{pip} --version")


async def test_layers_are_importable_during_a_build(container):
    layered = container.with_new_file("/opt/python/from_layer.py", "there = 1").with_new_file(
        "/opt/python/lib/python3.13/site-packages/from_site.py", "there = 2"
    )
    script = "import from_layer, from_site; print(from_layer.there + from_site.there)"
    assert await shell(layered, f"python -c '{script}'") == "3"


async def test_the_standard_library_is_complete_enough(container):
    modules = "bz2,ctypes,decimal,hashlib,lzma,readline,sqlite3,ssl,uuid,zlib,zoneinfo"
    assert await shell(container, f"python -c 'import {modules}; print(1)'") == "1"
    assert await shell(container, "date +%Z; python -c 'print(\"ä\")'") == "UTC\nä"


async def test_a_build_can_install_packages_over_tls(container):
    install = "pip install --quiet --no-cache-dir six==1.17.0 && python -c 'import six; print(1)'"
    assert await shell(container, install) == "1"


async def test_without_a_runtime_api_it_says_what_is_missing(container):
    with pytest.raises(dagger.ExecError) as raised:
        await container.with_exec(["a.b"], use_entrypoint=True).sync()
    assert "no Runtime Interface Emulator" in raised.value.stderr
    with pytest.raises(dagger.ExecError) as raised:
        await container.with_exec(["/lambda-entrypoint.sh"]).sync()
    assert raised.value.exit_code == 142


async def test_publishing_again_changes_nothing(published, user_home, local_registry):
    assert await standin.publish(user_home, local_registry) == published


async def test_another_ca_bundle_makes_another_image(session, user_home, home, tmp_path):
    bundle = tmp_path / "ca.pem"
    of_this_machine = next(path for path in map(Path, standin.CA_BUNDLES) if path.exists())
    bundle.write_text(of_this_machine.read_text() + "# one of our own\n")
    own_registry = registry.ensure(home, os.environ)
    try:
        plain = await standin.publish(user_home, own_registry)
        assert await standin.publish(user_home, own_registry, str(bundle)) != plain
    finally:
        registry.stop(home)


async def test_a_bundle_that_is_not_there_is_named(user_home, local_registry, published):
    with pytest.raises(InputError, match="/no/such/file"):
        await standin.publish(user_home, local_registry, "/no/such/file")


async def test_without_installation_it_says_what_to_run(tmp_path, local_registry):
    with pytest.raises(InputError, match="not installed"):
        await standin.publish(Home(tmp_path), local_registry)


async def test_its_size_is_bounded(published, local_registry):
    url = f"http://{local_registry.host}/v2/{standin.REPOSITORY}/manifests/{published}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    async with httpx.AsyncClient() as client:
        manifest = (await client.get(url, headers=accept)).json()
    assert sum(layer["size"] for layer in manifest["layers"]) < 60_000_000
