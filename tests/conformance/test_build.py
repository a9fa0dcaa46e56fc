"""``dockerBuild``: Dockerfiles unchanged, and what may follow them."""

from collections.abc import Callable
from pathlib import Path

import dagger
import pytest
from dagger import BuildArg, dag

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]
Write = Callable[..., str]


def build(path: str, **options: object) -> dagger.Container:
    return dag.host().directory(path).docker_build(**options)  # type: ignore[arg-type]


async def test_files_and_configuration(image: str, context: Write) -> None:
    path = context(
        {
            "Dockerfile": f"""FROM {image}
ENV A=1 B="two words"
WORKDIR /app
COPY src/main.py .
LABEL l=v
USER guest
ENTRYPOINT ["/bin/cat"]
CMD ["main.py"]
""",
            "src/main.py": "print()\n",
        }
    )
    built = build(path)
    assert await built.file("main.py").contents() == "print()\n"
    assert await built.env_variable("B") == "two words"
    assert await built.env_variable("GREETING") == "hello"
    assert await built.workdir() == "/app"
    assert await built.user() == "guest"
    assert await built.label("l") == "v"
    assert await built.entrypoint() == ["/bin/cat"]
    assert await built.default_args() == ["main.py"]


async def test_steps_after_a_build(image: str, context: Write) -> None:
    path = context({"Dockerfile": f"FROM {image}\nRUN echo built > /f\n"})
    after = build(path).with_exec(["sh", "-c", "cat /f; echo after"])
    assert await after.stdout() == "built\nafter\n"


async def test_build_args_and_their_defaults(image: str, context: Write) -> None:
    dockerfile = f"""ARG BASE={image}
FROM ${{BASE}}
ARG GIVEN
ARG DEFAULT=default
RUN echo "$GIVEN $DEFAULT" > /f
"""
    path = context(Dockerfile=dockerfile)
    built = build(path, build_args=[BuildArg("GIVEN", "given,with=signs")])
    assert await built.file("/f").contents() == "given,with=signs default\n"


async def test_target_and_named_stages(image: str, context: Write) -> None:
    dockerfile = f"""FROM {image} AS layer
RUN echo layer > /opt-file
FROM {image} AS middle
COPY --from=layer /opt-file /copied
FROM middle
RUN exit 1
"""
    path = context(Dockerfile=dockerfile)
    assert await build(path, target="middle").file("/copied").contents() == "layer\n"


async def test_another_dockerfile(image: str, context: Write) -> None:
    path = context({"build/Dockerfile.dev": f"FROM {image}\nCOPY x /x\n", "x": "data"})
    built = build(path, dockerfile="build/Dockerfile.dev")
    assert await built.file("/x").contents() == "data"


async def test_heredocs_and_mounts(image: str, context: Write) -> None:
    dockerfile = f"""FROM {image}
RUN --mount=type=bind,source=x,target=/x --mount=type=tmpfs,target=/scratch <<EOF
cat /x > /out
echo more >> /out
EOF
COPY <<EOF /conf
a=1
EOF
COPY --link x /linked
"""
    built = build(context(Dockerfile=dockerfile, x="data\n"))
    assert await built.file("/out").contents() == "data\nmore\n"
    assert await built.file("/conf").contents() == "a=1\n"
    assert await built.file("/linked").contents() == "data\n"


async def test_dockerignore(image: str, context: Write) -> None:
    path = context(
        {
            "Dockerfile": f"FROM {image}\nCOPY . /c/\n",
            ".dockerignore": "*.md\n!keep.md\nsub/\n",
            "a.md": "", "keep.md": "", "b.py": "", "sub/c.py": "",
        }
    )  # fmt: skip
    entries = await build(path).directory("/c").entries()
    assert "keep.md" in entries
    assert "b.py" in entries
    assert "a.md" not in entries
    assert "sub/" not in entries


async def test_a_dockerfile_laid_over_the_context(image: str, context: Write) -> None:
    """How a pipeline pins what an untouched checkout builds from."""
    path = context(Dockerfile="FROM nowhere.invalid/x\n", x="data")
    over = dag.host().directory(path).with_new_file("Dockerfile", f"FROM {image}\nCOPY . /c/\n")
    built = over.docker_build()
    assert await built.file("/c/x").contents() == "data"
    assert await built.file("/c/Dockerfile").contents() == f"FROM {image}\nCOPY . /c/\n"
    assert (Path(path) / "Dockerfile").read_text() == "FROM nowhere.invalid/x\n"


async def test_a_context_that_steps_made(base: dagger.Container, image: str) -> None:
    made = base.with_exec(["sh", "-c", "mkdir /ctx && echo made > /ctx/x"]).directory("/ctx")
    built = made.with_new_file("Dockerfile", f"FROM {image}\nCOPY x /x\n").docker_build()
    assert await built.file("/x").contents() == "made\n"


async def test_a_context_without_what_was_excluded(image: str, context: Write) -> None:
    path = context({"Dockerfile": f"FROM {image}\nCOPY . /c/\n", "in": "", "out": ""})
    built = dag.host().directory(path, exclude=["out"]).docker_build()
    assert await built.directory("/c").entries() == ["Dockerfile", "in"]


async def test_a_subdirectory_as_context(image: str, context: Write) -> None:
    path = context({"fn/Dockerfile": f"FROM {image}\nCOPY x /x\n", "fn/x": "below", "x": "above"})
    built = dag.host().directory(path).directory("fn").docker_build()
    assert await built.file("/x").contents() == "below"


async def test_from_scratch(busybox: Path, context: Write) -> None:
    path = context(Dockerfile="FROM scratch\nCOPY x /x\n", x="data")
    assert await build(path).rootfs().entries() == ["x"]


async def test_unicode_and_blanks_in_names(image: str, context: Write) -> None:
    name = "ein Größeres 名.txt"
    path = context({"Dockerfile": f'FROM {image}\nCOPY ["{name}", "/x"]\n', name: "data"})
    assert await build(path).file("/x").contents() == "data"


async def test_syntax_error(context: Write) -> None:
    path = context(Dockerfile="FROM scratch\nFOO bar\n")
    with pytest.raises(dagger.QueryError, match=r"line 2: unknown instruction: FOO"):
        await build(path).sync()


async def test_missing_dockerfile(context: Write) -> None:
    with pytest.raises(dagger.QueryError, match="no such file or directory"):
        await build(context(other="x")).sync()


async def test_missing_target(context: Write) -> None:
    with pytest.raises(dagger.QueryError, match='target stage "none" could not be found'):
        await build(context(Dockerfile="FROM scratch\n"), target="none").sync()


async def test_base_image_that_does_not_exist(registry_host: str, context: Write) -> None:
    path = context(Dockerfile=f"FROM {registry_host}/none/such:1\n")
    with pytest.raises(dagger.QueryError, match=r"none/such:1.*not found"):
        await build(path).sync()


async def test_copy_of_a_missing_file(image: str, context: Write) -> None:
    path = context(Dockerfile=f"FROM {image}\nCOPY nope /x\n")
    with pytest.raises(dagger.QueryError, match=r"/nope.*no such file or directory"):
        await build(path).sync()


async def test_failing_run(image: str, context: Write) -> None:
    path = context(Dockerfile=f"FROM {image}\nRUN echo out; echo err >&2; exit 7\n")
    with pytest.raises(dagger.ExecError) as caught:
        await build(path).sync()
    error = caught.value
    assert "exit code: 7" in error.message
    assert error.exit_code == 7
    assert error.command == ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]
    assert error.stdout == "out"
    assert error.stderr == "err"
