"""Secrets reach the steps they are given to, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import anyio
import dagger
import pytest
from dagger import dag

from ci.engine.session import Session
from ci.home import Home

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]
Write = Callable[..., str]


@pytest.fixture
def value(unique: str) -> str:
    return f"s3cr3t,{unique}"


@pytest.fixture
def secret(value: str, unique: str) -> dagger.Secret:
    return dag.set_secret(f"name-{unique}", value)


async def test_variable_reaches_the_step_and_is_scrubbed(
    base: dagger.Container, secret: dagger.Secret, value: str
) -> None:
    given = base.with_secret_variable("TOKEN", secret)
    done = given.with_exec(["sh", "-c", 'echo "<$TOKEN>"; echo "<$TOKEN>" >&2; echo ${#TOKEN}'])
    assert await done.stdout() == f"<***>\n{len(value)}\n"
    assert await done.stderr() == "<***>\n"


async def test_mounted_secret(base: dagger.Container, secret: dagger.Secret, value: str) -> None:
    mounted = base.with_mounted_secret("/t", secret)
    done = mounted.with_exec(["sh", "-c", "stat -c '%a %u' /t; wc -c < /t; cat /t"])
    assert await done.stdout() == f"400 0\n{len(value)}\n***"
    mode = base.with_mounted_secret("/t", secret, mode=0o444).with_exec(["stat", "-c", "%a", "/t"])
    assert await mode.stdout() == "444\n"


async def test_a_secret_in_two_writes_is_scrubbed(
    base: dagger.Container, secret: dagger.Secret
) -> None:
    script = (
        'printf %s "${TOKEN%??????}"; sleep 0.3; printf %s "${TOKEN#"${TOKEN%??????}"}"; echo .'
    )
    done = base.with_secret_variable("TOKEN", secret).with_exec(["sh", "-c", script])
    assert await done.stdout() == "***.\n"


async def test_errors_are_scrubbed(
    base: dagger.Container, secret: dagger.Secret, value: str
) -> None:
    failing = base.with_secret_variable("TOKEN", secret).with_exec(
        ["sh", "-c", 'echo "out $TOKEN"; echo "err $TOKEN" >&2; exit 1']
    )
    with pytest.raises(dagger.ExecError) as caught:
        await failing.sync()
    assert caught.value.stdout == "out ***"
    assert caught.value.stderr == "err ***"
    assert value not in str(caught.value)


async def test_a_secret_is_no_part_of_the_environment(
    base: dagger.Container, secret: dagger.Secret
) -> None:
    given = base.with_secret_variable("TOKEN", secret)
    assert await given.env_variable("TOKEN") is None
    left = given.with_exec(["true"]).rootfs()
    after = dag.container().with_rootfs(left).with_exec(["sh", "-c", "echo [$TOKEN]"])
    assert await after.stdout() == "[]\n"


async def test_secret_of_a_build(image: str, context: Write, value: str, unique: str) -> None:
    path = context(
        Dockerfile=f"""FROM {image}
RUN --mount=type=secret,id=build-{unique} echo "{unique} $(cat /run/secrets/build-{unique})" \\
    && cat /run/secrets/build-{unique} | wc -c > /size && test ! -e /run/secrets/other
RUN exit 3
"""
    )
    secret = dag.set_secret(f"build-{unique}", value)
    with pytest.raises(dagger.ExecError) as caught:
        await dag.host().directory(path).docker_build(secrets=[secret]).sync()
    assert caught.value.exit_code == 3
    fixed = context(Dockerfile=(Path(path) / "Dockerfile").read_text().replace("RUN exit 3", ""))
    built = dag.host().directory(fixed).docker_build(secrets=[secret])
    assert await built.file("/size").contents() == f"{len(value)}\n"


async def test_the_cache_knows_the_name_and_not_the_value(
    base: dagger.Container, unique: str
) -> None:
    script = ["sh", "-c", "cat /proc/sys/kernel/random/uuid"]
    first = base.with_secret_variable("T", dag.set_secret(f"n{unique}", "one")).with_exec(script)
    seen = await first.stdout()
    second = base.with_secret_variable("T", dag.set_secret(f"n{unique}", "two")).with_exec(script)
    assert await second.stdout() == seen


async def test_the_name_of_a_secret(secret: dagger.Secret, unique: str) -> None:
    assert await secret.name() == f"name-{unique}"


async def test_nothing_of_a_secret_is_left_on_this_machine(
    base: dagger.Container, secret: dagger.Secret, unique: str, engine: Session, home: Home
) -> None:
    """Neither in an argument list while the step runs, nor in a file of the engine after it."""
    if engine.kind != "embedded":
        pytest.skip("looks into the embedded engine's own files and processes")
    seen: list[str] = []

    async def look() -> None:
        await anyio.sleep(0.4)
        listing = await anyio.run_process(["sh", "-c", "cat /proc/[0-9]*/cmdline"], check=False)
        seen.append(listing.stdout.decode(errors="replace"))

    step = base.with_mounted_secret("/t", secret).with_secret_variable("T", secret)
    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await step.with_exec(["sh", "-c", "cat /t; echo $T; sleep 1"]).sync()
    assert "dagger-embedded-shim" in seen[0]
    assert unique not in seen[0].replace(f"name-{unique}", "")
    found = await anyio.run_process(
        ["grep", "-rlF", f"s3cr3t,{unique}", str(home.engine)], check=False
    )
    assert found.stdout == b""
