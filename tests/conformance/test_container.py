"""Containers: configuration, steps, mounts."""

import time
from pathlib import Path

import anyio
import dagger
import pytest
from dagger import CacheSharingMode, ReturnType, dag

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("engine")]


async def test_stdout_stderr_and_exit_code(base: dagger.Container) -> None:
    done = base.with_exec(["sh", "-c", "echo out; echo err >&2"])
    assert await done.stdout() == "out\n"
    assert await done.stderr() == "err\n"
    assert await done.exit_code() == 0


async def test_output_is_kept_when_the_step_is_cached(base: dagger.Container) -> None:
    """The second container differs, so it is asked anew; its step does not run again."""
    done = base.with_exec(["sh", "-c", "cat /proc/sys/kernel/random/uuid"])
    first = await done.stdout()
    assert await done.with_label("a", "b").stdout() == first


async def test_large_output_is_whole(base: dagger.Container) -> None:
    text = await base.with_exec(["seq", "1", "300000"]).stdout()
    assert text.splitlines()[0] == "1"
    assert text.splitlines()[-1] == "300000"
    assert len(text) == sum(len(str(n)) + 1 for n in range(1, 300001))


async def test_output_that_is_not_utf8(base: dagger.Container) -> None:
    text = await base.with_exec(["printf", r"a\377b"]).stdout()
    assert text.startswith("a")
    assert text.endswith("b")


async def test_steps_see_what_earlier_steps_wrote(base: dagger.Container) -> None:
    written = base.with_exec(["sh", "-c", "echo one > /f"]).with_exec(
        ["sh", "-c", "echo two >> /f"]
    )
    assert await written.file("/f").contents() == "one\ntwo\n"


async def test_stdin(base: dagger.Container) -> None:
    assert await base.with_exec(["tr", "a-z", "A-Z"], stdin="text\n").stdout() == "TEXT\n"


async def test_stdin_is_empty_by_default(base: dagger.Container) -> None:
    assert await base.with_exec(["wc", "-c"]).stdout() == "0\n"


async def test_use_entrypoint(base: dagger.Container) -> None:
    container = base.with_entrypoint(["echo", "entry"])
    assert await container.with_exec(["arg"], use_entrypoint=True).stdout() == "entry arg\n"
    assert await container.with_exec(["echo", "plain"]).stdout() == "plain\n"


async def test_entrypoint_and_default_args(base: dagger.Container) -> None:
    container = base.with_default_args(["a"]).with_entrypoint(["e"])
    assert await container.entrypoint() == ["e"]
    assert await container.default_args() == []
    assert await container.with_default_args(["b", "c"]).default_args() == ["b", "c"]
    kept = base.with_default_args(["a"]).with_entrypoint(["e"], keep_default_args=True)
    assert await kept.default_args() == ["a"]


async def test_default_args_run_without_arguments(base: dagger.Container) -> None:
    assert await base.with_default_args(["echo", "default"]).with_exec([]).stdout() == "default\n"


@pytest.mark.parametrize("code", [1, 2, 127, 200])
async def test_expected_failures(base: dagger.Container, code: int) -> None:
    for expect in (ReturnType.ANY, ReturnType.FAILURE):
        done = base.with_exec(["sh", "-c", f"echo said; exit {code}"], expect=expect)
        assert await done.exit_code() == code
        assert await done.stdout() == "said\n"


async def test_any_accepts_success_and_failure_does_not(base: dagger.Container) -> None:
    assert await base.with_exec(["true"], expect=ReturnType.ANY).exit_code() == 0
    with pytest.raises(dagger.ExecError) as caught:
        await base.with_exec(["true"], expect=ReturnType.FAILURE).sync()
    assert caught.value.exit_code == 0


async def test_a_signal_is_never_expected(base: dagger.Container) -> None:
    with pytest.raises(dagger.ExecError) as caught:
        await base.with_exec(["sh", "-c", "kill -9 $$"], expect=ReturnType.ANY).exit_code()
    assert caught.value.exit_code == 137


async def test_environment(base: dagger.Container) -> None:
    container = base.with_env_variable("A", "x y\nz").with_env_variable("B", "$A", expand=False)
    assert await container.env_variable("A") == "x y\nz"
    assert await container.env_variable("B") == "$A"
    assert await container.env_variable("NONE") is None
    assert await container.with_exec(["sh", "-c", 'echo "$A"']).stdout() == "x y\nz\n"
    expanded = base.with_env_variable("A", "1").with_env_variable("C", "${A}-$A", expand=True)
    assert await expanded.env_variable("C") == "1-1"
    assert await expanded.without_env_variable("A").env_variable("A") is None


async def test_path_is_set_when_the_image_has_none(base: dagger.Container) -> None:
    assert "/bin" in await base.with_exec(["sh", "-c", "echo $PATH"]).stdout()


async def test_workdir(base: dagger.Container) -> None:
    container = base.with_workdir("/srv").with_workdir("deep")
    assert await container.workdir() == "/srv/deep"
    assert await container.with_exec(["pwd"]).stdout() == "/srv/deep\n"
    relative = container.with_new_file("f", "here")
    assert await relative.file("/srv/deep/f").contents() == "here"
    assert await relative.file("f").contents() == "here"


async def test_user(base: dagger.Container) -> None:
    container = base.with_user("guest")
    assert await container.user() == "guest"
    assert await container.with_exec(["sh", "-c", "id -u; echo err >&2"]).stdout() == "1000\n"


async def test_new_file_and_directory(base: dagger.Container) -> None:
    source = dag.directory().with_new_file("x", "data")
    container = (
        base.with_new_file("/etc/motd", "hi", permissions=0o600)
        .with_directory("/opt/in", source)
        .with_file("/opt/one", source.file("x"))
    )
    seen = container.with_exec(["sh", "-c", "stat -c %a /etc/motd; cat /opt/in/x /opt/one"])
    assert await seen.stdout() == "600\ndatadata"
    assert await container.directory("/opt").entries() == ["in/", "one"]


async def test_mounted_directory(base: dagger.Container) -> None:
    source = dag.directory().with_new_file("x", "data")
    container = base.with_mounted_directory("/m", source)
    assert await container.with_exec(["cat", "/m/x"]).stdout() == "data"
    assert await container.file("/m/x").contents() == "data"
    changed = container.with_exec(["sh", "-c", "echo more >> /m/x"]).with_exec(["cat", "/m/x"])
    assert await changed.stdout() == "datamore\n"
    assert await changed.directory("/m").file("x").contents() == "datamore\n"
    assert await source.file("x").contents() == "data"


async def test_a_mounted_directory_is_not_part_of_the_rootfs(base: dagger.Container) -> None:
    mounted = base.with_mounted_directory("/m", dag.directory().with_new_file("x", "data"))
    after = dag.container().with_rootfs(mounted.with_exec(["true"]).rootfs())
    assert await after.with_exec(["find", "/", "-xdev", "-name", "x"]).stdout() == ""


async def test_a_subdirectory_can_be_mounted(base: dagger.Container) -> None:
    source = dag.directory().with_new_file("a/b/x", "data").directory("a/b")
    changed = base.with_mounted_directory("/m", source).with_exec(["sh", "-c", "echo y > /m/y"])
    assert await changed.directory("/m").entries() == ["x", "y"]


async def test_mounted_cache_keeps_what_is_written(base: dagger.Container, unique: str) -> None:
    cached = base.with_mounted_cache("/c", dag.cache_volume(unique))
    await cached.with_exec(["sh", "-c", "echo kept > /c/f"]).sync()
    assert await cached.with_exec(["cat", "/c/f"]).stdout() == "kept\n"


async def test_locked_cache_is_used_by_one_step_at_a_time(
    base: dagger.Container, unique: str
) -> None:
    cache = dag.cache_volume(unique)
    locked = base.with_mounted_cache("/c", cache, sharing=CacheSharingMode.LOCKED)
    script = "test ! -e /c/busy && touch /c/busy && sleep 0.3 && rm /c/busy"
    async with anyio.create_task_group() as group:
        for n in range(3):
            step = locked.with_env_variable("N", f"{unique}{n}").with_exec(["sh", "-c", script])
            group.start_soon(step.sync)


async def test_rootfs_of_a_container(base: dagger.Container) -> None:
    rootfs = base.with_new_file("/only", "here").rootfs()
    assert "only" in await rootfs.entries()
    again = dag.container().with_rootfs(rootfs).with_exec(["cat", "/only"])
    assert await again.stdout() == "here"


async def test_labels(base: dagger.Container) -> None:
    assert await base.with_label("k", "v").label("k") == "v"
    assert await base.label("none") is None


async def test_from_reads_the_image_configuration(image: str) -> None:
    container = dag.container().from_(image)
    assert await container.env_variable("GREETING") == "hello"
    assert await container.workdir() == "/srv"
    assert await container.entrypoint() == ["/bin/echo"]
    assert await container.default_args() == ["from", "the", "image"]
    assert await container.label("org.example.kind") == "test"
    assert await container.with_exec([], use_entrypoint=True).stdout() == "from the image\n"
    assert await container.with_exec(["pwd"]).stdout() == "/srv\n"


async def test_sync_runs_the_steps(base: dagger.Container, unique: str) -> None:
    started = time.monotonic()
    await base.with_env_variable("U", unique).with_exec(["sleep", "0.5"]).sync()
    assert time.monotonic() - started >= 0.5


async def test_nothing_runs_for_what_does_not_need_it(base: dagger.Container) -> None:
    failing = dag.directory().with_directory("/", base.with_exec(["false"]).rootfs())
    assert isinstance(await failing.id(), str)


async def test_files_of_a_step_can_be_exported(base: dagger.Container, tmp_path: Path) -> None:
    made = base.with_exec(["sh", "-c", "mkdir -p /o && echo made > /o/f"])
    await made.directory("/o").export(str(tmp_path))
    assert (tmp_path / "f").read_text() == "made\n"


async def test_platform(base: dagger.Container) -> None:
    assert await base.platform() in ("linux/amd64", "linux/arm64")


async def test_an_empty_container() -> None:
    empty = dag.container()
    assert await empty.workdir() == ""
    assert await empty.entrypoint() == []
    assert await empty.user() == ""
    for question in (empty.stdout, empty.stderr, empty.exit_code):
        with pytest.raises(dagger.QueryError, match="no command has been set"):
            await question()


async def test_home_and_working_directory_of_a_step(base: dagger.Container) -> None:
    assert await base.with_exec(["sh", "-c", "echo $HOME; pwd"]).stdout() == "/root\n/\n"


async def test_an_image_without_a_shell(base: dagger.Container, busybox: Path) -> None:
    only = dag.host().directory(str(busybox), include=["bin/busybox"])
    bare = dag.container().with_rootfs(only).with_exec(["/bin/busybox", "echo", "no shell"])
    assert await bare.stdout() == "no shell\n"


async def test_a_background_process_does_not_hold_a_step(base: dagger.Container) -> None:
    started = time.monotonic()
    assert await base.with_exec(["sh", "-c", "sleep 60 & echo done"]).stdout() == "done\n"
    assert time.monotonic() - started < 20
