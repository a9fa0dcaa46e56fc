"""The whole pipeline on a real engine and a real registry, on source trees that are not ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from kit import registries, trees
from kit.pipeline import ROOT, Run, begin, processes_with, run
from kit.proxy import Fault, faulty

from ci.engine.buildkit import daemon
from ci.home import Home
from ci.local import standin
from ci.local.registry import Registry

pytestmark = pytest.mark.e2e

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())


@pytest.fixture(scope="session")
def seed_run(
    tmp_path_factory: pytest.TempPathFactory, user_home: Home, local_registry: Registry
) -> Run:
    """A tree of the seed's shape, nothing but the names changed, through the whole story."""
    standin.install(user_home, os.environ, print)
    root = tmp_path_factory.mktemp("seed")
    tree = trees.tree(root / "tree", "seedling")
    argv = ["rehearse", "--source", str(tree), "--engine", "embedded", "--prefix", "seedtest"]
    return run(root / "out", *argv, PIPELINE_COMMIT="0" * 40)


@pytest.fixture(scope="session")
def base(seed_run: Run) -> str:
    """An image with a shell in the local registry, which any engine can pull."""
    return str(seed_run.functions["seedling"]["repository"])


@pytest.fixture(params=["embedded", pytest.param("dagger", marks=pytest.mark.dagger)])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "dagger" and not _dagger_answers():
        pytest.skip("no dagger CLI on PATH that reaches an engine")
    return str(request.param)


@pytest.fixture
def prefix() -> str:
    """Repositories of one test alone."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def app(engine: str, prefix: str, tmp_path: Path, local_registry: Registry) -> Callable[..., Run]:
    """Runs ``app`` on the tree of the test, by default as one more build of commit 1111111."""
    builds = iter(range(1, 100))

    def run_app(*argv: str, **environ: str) -> Run:
        number = f"n{next(builds)}"
        given = ["--source", str(tmp_path / "tree"), "--prefix", prefix, "--engine", engine]
        facts = {"PIPELINE_BUILD_ID": number, "PIPELINE_COMMIT": "1" * 40}
        return run(tmp_path / number, "app", *given, *argv, **facts | environ)

    return run_app


def function(base: str, *steps: str, command: str = 'CMD ["a.b"]') -> str:
    return "\n".join([f"FROM {base}:latest", "WORKDIR /var/task", "COPY . .", *steps, command, ""])


def layers(host: str, name: str, reference: str) -> list[str]:
    answer = httpx.get(
        f"http://{host}/v2/{name}/manifests/{reference}",
        headers={"Accept": registries.MANIFEST},
        trust_env=False,
    )
    return [layer["digest"] for layer in answer.json()["layers"]]


def test_the_seeds_shape_runs_from_layer_to_summary(
    seed_run: Run, local_registry: Registry
) -> None:
    assert seed_run.code == 0, seed_run.err
    report = seed_run.report
    jsonschema.validate(report, SCHEMA)
    assert report["outcome"] == "succeeded"
    host, repository = local_registry.host, "seedtest-seedling"
    layer, seedling = report["layer"], seed_run.functions["seedling"]
    for image in (layer, seedling):
        tags = registries.tags(host, image["repository"].partition("/")[2])
        assert tags["0000000"] == tags["latest"] == image["digest"]
    assert report["bases"][f"{layer['repository']}:latest"] == layer["digest"]
    assert seedling["digest"] == registries.digest(host, repository, "latest")
    assert "seedling" in seed_run.out
    base = "public.ecr.aws/lambda/python:3.13"
    assert (base in report["stand_ins"]) == ("a stand-in serves" in seed_run.err)
    assert f"builds on {base} = {report['bases'][base]}" in seed_run.log("seedling")


def test_functions_are_built_on_the_layer_that_is_named_by_digest(
    app: Callable[..., Run], seed_run: Run, tmp_path: Path
) -> None:
    layer = seed_run.report["layer"]
    trees.tree(tmp_path / "tree", "a")
    # The tag of another layer: a retry sees the layer that its pipeline saw.
    names = ("--layer-repository", layer["repository"])
    run = app(*names, "--layer-digest", layer["digest"])
    assert run.code == 0, run.err
    assert run.report["bases"][f"{layer['repository']}:latest"] == layer["digest"]
    gone = app(*names, "--layer-digest", f"sha256:{'0' * 64}")
    assert gone.code == 2
    assert f"the common layer sha256:{'0' * 64} is not there" in gone.err


def test_a_foreign_tree_is_built_published_and_reported(
    app: Callable[..., Run], base: str, prefix: str, tmp_path: Path, local_registry: Registry
) -> None:
    tree = tmp_path / "tree"
    # A step that the engine has seen before is not run again, and prints nothing.
    step = f"RUN echo {prefix} files $(ls -A) && cat src/*.py"
    trees.function(tree, "billing", function(base, step))
    upper = trees.function(tree, "mail.sender", function(base, "RUN echo second > /tmp/x"))
    (upper / "Dockerfile").rename(upper / "DockerFile")
    trees.write(tree / "dockerfiles/billing/.dockerignore", ".env\n.aws-sam\n*.md\n!KEEP.md\n")
    for name in (".env", ".aws-sam/build.toml", "README.md", "KEEP.md", "with space.txt", "ünï"):
        trees.write(tree / "dockerfiles/billing" / name, "SECRET=1")
    trees.write(tree / "dockerfiles/.aws-sam/build/template.yaml", "")
    trees.write(tree / "dockerfiles/samconfig.toml", "")
    trees.write(tree / "template.yaml", "")
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    done = app()
    assert done.code == 0, done.err
    jsonschema.validate(done.report, SCHEMA)
    assert set(done.functions) == {"billing", "mail.sender"}
    for name, built in done.functions.items():
        tags = registries.tags(local_registry.host, f"{prefix}-{name}")
        assert built["status"] == "built"
        assert built["tags"] == ["build-n1", "1111111", "latest"]
        assert tags == dict.fromkeys([*built["tags"], "pushed"], built["digest"])
        assert built["bytes"]["mounted"] + built["bytes"]["sent"] > 0
    log = done.log("billing")
    assert "files" in log
    assert "KEEP.md" in log
    assert "with space.txt" in log
    for left_out in (".env", ".aws-sam", "README.md"):
        assert left_out not in log
    assert "# billing" in log
    assert "# billing" not in done.log("mail.sender")
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_nothing_changed_gives_the_same_digest_under_a_new_tag(
    app: Callable[..., Run], base: str, tmp_path: Path
) -> None:
    trees.function(tmp_path / "tree", "a", function(base, "RUN date > /tmp/now"))
    first, second = app(), app()
    assert (first.code, second.code) == (0, 0)
    assert first.functions["a"]["digest"] == second.functions["a"]["digest"]
    assert second.functions["a"]["tags"][0] == "build-n2"
    sent = second.functions["a"]["bytes"]
    assert (sent["sent"], sent["mounted"]) == (0, 0)
    assert sent["skipped"] > 0


def test_a_failing_function_cancels_nobody_and_latest_moves_nowhere(
    app: Callable[..., Run], base: str, prefix: str, tmp_path: Path, local_registry: Registry
) -> None:
    for name in ("a", "b", "c"):
        trees.function(tmp_path / "tree", name, function(base))
    assert app().code == 0
    host = local_registry.host
    before = {name: registries.tags(host, f"{prefix}-{name}")["latest"] for name in "abc"}
    for name in ("a", "c"):
        trees.function(tmp_path / "tree", name, function(base, "RUN sleep 2; echo new > /tmp/x"))
    noise = "RUN for i in $(seq 3000); do echo line $i of many; done; echo the reason >&2; exit 7"
    trees.function(tmp_path / "tree", "b", function(base, noise))
    done = app()
    assert done.code == 1
    assert {name: each["status"] for name, each in done.functions.items()} == {
        "a": "built", "b": "failed", "c": "built",
    }  # fmt: skip
    jsonschema.validate(done.report, SCHEMA)
    assert done.report["outcome"] == "failed"
    for name in "abc":
        assert registries.tags(host, f"{prefix}-{name}")["latest"] == before[name]
    for name in "ac":
        tags = registries.tags(host, f"{prefix}-{name}")
        assert tags["build-n2"] == tags["1111111"] == done.functions[name]["digest"]
        assert "latest" not in done.functions[name]["tags"]
    assert "build-n2" not in registries.tags(host, f"{prefix}-b")
    error = done.functions["b"]["error"]
    assert error["class"] == "StepFailed"
    assert "7" in error["message"]
    log = done.log("b").splitlines()
    assert [line for line in log if line.endswith("of many")] == [
        f"line {number} of many" for number in range(1, 3001)
    ]
    assert "the reason" in log
    shown = done.out.replace("\n", " ")
    assert "the reason" in shown
    assert "line 1 of many" not in shown
    assert "logs/b.log" in done.out


@pytest.mark.parametrize(
    ("dockerfile", "kind", "says"),
    [
        pytest.param("FROM {base}:latest\nRUM x\n", "BadDockerfile", "line 2", id="syntax"),
        pytest.param("FROM {host}/no/such:1\n", "BaseMissing", "no/such:1", id="FROM missing"),
        pytest.param("FROM {base}:latest\nCOPY nowhere.py .\n", "MissingFile", "nowhere.py",
                     id="COPY of nothing"),
        pytest.param("FROM scratch\nCOPY src/ /\n", "Unacceptable",
                     "neither entry point nor command", id="no command"),
    ],
)  # fmt: skip
def test_what_can_be_wrong_with_one_function(
    dockerfile: str, kind: str, says: str, app: Callable[..., Run], base: str, prefix: str,
    tmp_path: Path, local_registry: Registry,
) -> None:  # fmt: skip
    host = local_registry.host
    trees.function(tmp_path / "tree", "good", function(base))
    trees.function(tmp_path / "tree", "bad", dockerfile.format(base=base, host=host))
    done = app()
    assert done.code == 1, done.err
    assert done.functions["good"]["status"] == "built"
    bad = done.functions["bad"]
    assert bad["error"]["class"] == kind
    assert says in bad["error"]["message"]
    assert says in done.out.replace("\n", " ")
    assert bad["tags"] == []
    # Judged before it was given a name that anybody uses.
    assert set(registries.tags(host, f"{prefix}-bad")) <= {"pushed"}
    assert "Traceback" not in done.out + done.err


def test_a_function_that_hangs_is_stopped_alone(
    app: Callable[..., Run], base: str, tmp_path: Path
) -> None:
    trees.function(tmp_path / "tree", "good", function(base))
    mark = f"6{uuid.uuid4().int % 10**6:06}"
    trees.function(tmp_path / "tree", "hangs", function(base, f"RUN echo waiting; sleep {mark}"))
    begun = time.monotonic()
    done = app("--timeout", "6s")
    assert time.monotonic() - begun < 40
    assert done.code == 1
    assert done.functions["good"]["status"] == "built"
    assert done.functions["hangs"]["error"]["class"] == "TimedOut"
    assert "was not done after 6.0 s" in done.out
    assert "waiting" in done.log("hangs")
    _gone(mark)


def test_jobs_bounds_what_runs_at_once(app: Callable[..., Run], base: str, tmp_path: Path) -> None:
    for index in range(5):
        step = f"RUN sleep 1; echo {index} {uuid.uuid4()}"
        trees.function(tmp_path / "tree", f"f{index}", function(base, step))
    done = app("--jobs", "2")
    assert done.code == 0, done.err
    moments = sorted(
        moment
        for each in done.functions.values()
        for phase in each["phases"]
        if phase["name"].startswith("build")
        for moment in ((phase["start"], 1), (phase["end"], -1))
    )
    at_once, most = 0, 0
    for _, change in moments:
        at_once += change
        most = max(most, at_once)
    assert most == 2


def test_all_functions_build_on_one_digest_even_if_the_tag_moves_meanwhile(
    app: Callable[..., Run], base: str, prefix: str, tmp_path: Path, local_registry: Registry
) -> None:
    host = local_registry.host
    own = f"{prefix}-base"
    digest = _copy(host, base.partition("/")[2], own)
    other = registries.push_image(host, own, "other")
    for name in ("first", "second"):
        step = f"RUN sleep 3; echo {uuid.uuid4()}"
        trees.function(tmp_path / "tree", name, function(f"{host}/{own}", step))
    mover = subprocess.Popen(["sleep", "2.5"])
    running = begin(
        tmp_path / "out", "app", "--source", str(tmp_path / "tree"), "--prefix", prefix,
        "--engine", "embedded", "--jobs", "1",
    )  # fmt: skip
    mover.wait()
    _retag(host, own, other, "latest")
    assert running.wait(120) == 0
    done = Run(0, "", "", tmp_path / "out")
    assert done.report["bases"] == {f"{host}/{own}:latest": digest}
    expected = layers(host, own, digest)
    for name in ("first", "second"):
        built = layers(host, f"{prefix}-{name}", done.functions[name]["digest"])
        assert built[: len(expected)] == expected


def test_without_the_layers_image_nothing_is_started(
    app: Callable[..., Run], tmp_path: Path
) -> None:
    trees.tree(tmp_path / "tree", "a", "b", dockerfile=trees.FUNCTION)
    text = trees.FUNCTION.replace("public.ecr.aws/lambda/python:3.13", "scratch")
    for name in ("a", "b"):
        trees.function(tmp_path / "tree", name, text)
    done = app()
    assert done.code == 2
    assert "the common layer's image is not there" in done.err
    assert "python ci/main.py layer" in done.err
    assert not (tmp_path / "n1/report.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_soon_and_leaves_nothing_running(
    number: signal.Signals, engine: str, base: str, prefix: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    trees.function(tree, "quick", function(base))
    sleep = f"5{uuid.uuid4().int % 10**6:06}"
    trees.function(tree, "slow", function(base, f"RUN echo up; sleep {sleep}"))
    mark = {"TEST_MARK": uuid.uuid4().hex}
    argv = ["app", "--source", str(tree), "--prefix", prefix, "--engine", engine]
    process = begin(tmp_path / "out", *argv, **mark)
    log = tmp_path / "out/logs/slow.log"
    _until(lambda: _running(sleep))
    begun = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - begun < 5
    assert "Traceback" not in err
    report = json.loads((tmp_path / "out/report.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert report["outcome"] == "interrupted"
    statuses = {function["name"]: function["status"] for function in report["functions"]}
    assert statuses["slow"] == "skipped"
    assert log.exists()
    _gone(sleep)
    _until(lambda: not processes_with(mark), seconds=5)


@pytest.mark.parametrize("victim", ["daemon", "session"])
def test_an_engine_killed_in_the_middle_is_told_and_the_next_run_works(
    victim: str, base: str, prefix: str, tmp_path: Path, user_home: Home, home: Home,
    local_registry: Registry,
) -> None:  # fmt: skip
    """With a daemon of the test's own, which nobody misses."""
    (home.root / "python").symlink_to(user_home.root / "python")
    sleep = f"4{uuid.uuid4().int % 10**6:06}"
    trees.function(tmp_path / "tree", "a", function(base, f"RUN sleep {sleep}"))
    argv = ["app", "--source", str(tmp_path / "tree"), "--prefix", prefix]
    argv += ["--engine", "embedded", "--registry", local_registry.host]
    environ = {"PIPELINE_HOME": str(home.root), "TEST_MARK": uuid.uuid4().hex}
    try:
        process = begin(tmp_path / "out", *argv, **environ)
        _until(lambda: _running(sleep))
        _kill(victim, home, environ)
        begun = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < 30
        assert process.returncode == 1
        assert "Traceback" not in out + err
        report = json.loads((tmp_path / "out/report.json").read_text())
        jsonschema.validate(report, SCHEMA)
        error = report["functions"][0]["error"]
        assert error["class"] in ("EngineLost", "EngineError")
        assert error["fix"]
        trees.function(tmp_path / "tree", "a", function(base))
        again = run(tmp_path / "again", *argv, **environ)
        assert again.code == 0, again.err
    finally:
        run(tmp_path / "stop", "engine", "stop", **environ)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault("PUT", "/manifests/", 503, times=2)], id="5xx"),
        pytest.param([Fault("PUT", "/manifests/", 429, times=2)], id="throttling"),
        pytest.param([Fault("POST", "/blobs/uploads", "reset", times=1)], id="reset"),
        pytest.param(
            [Fault("PUT", "/blobs/uploads", "drop", after=100_000)], id="drop inside a blob"
        ),
        pytest.param([Fault("PUT", "/blobs/uploads", "drop", after=0)], id="drop before a blob"),
    ],
)
def test_faults_of_the_registry_pass(
    faults: list[Fault], base: str, prefix: str, tmp_path: Path, local_registry: Registry
) -> None:
    step = f"RUN head -c 300000 /dev/urandom > /blob; echo {uuid.uuid4()}"
    trees.function(tmp_path / "tree", "a", function(base, step))
    with faulty(local_registry.host, *faults) as proxy:
        argv = ["app", "--source", str(tmp_path / "tree"), "--prefix", prefix]
        argv += ["--engine", "embedded", "--registry", proxy.host]
        done = run(tmp_path / "out", *argv)
        assert all(fault.times == 0 for fault in faults), proxy.seen
    assert done.code == 0, done.err + done.out
    tags = registries.tags(local_registry.host, f"{prefix}-a")
    assert tags["latest"] == done.functions["a"]["digest"]


def test_a_registry_that_keeps_refusing_fails_the_function_with_its_reason(
    base: str, prefix: str, tmp_path: Path, local_registry: Registry
) -> None:
    trees.function(tmp_path / "tree", "a", function(base))
    with faulty(local_registry.host, Fault("PUT", "/manifests/", 503, times=999)) as proxy:
        argv = ["app", "--source", str(tmp_path / "tree"), "--prefix", prefix]
        argv += ["--engine", "embedded", "--registry", proxy.host]
        done = run(tmp_path / "out", *argv)
    assert done.code == 1
    assert "503" in done.functions["a"]["error"]["message"]
    assert "attempt 2 of 4" in done.err
    assert registries.tags(local_registry.host, f"{prefix}-a") == {}


def test_a_registry_with_a_password(base: str, tmp_path: Path) -> None:
    trees.function(tmp_path / "tree", "a", 'FROM scratch\nCOPY src/ /\nCMD ["a.b"]\n')
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry", login=True) as host:
        argv = ["app", "--source", str(tmp_path / "tree"), "--engine", "embedded"]
        argv += ["--registry", host]
        refused = run(tmp_path / "refused", *argv, DOCKER_CONFIG=str(tmp_path))
        assert refused.code == 1
        assert f"{host}: refuses our credentials" in refused.err
        assert f"log in to {host}" in refused.err
        auths = {host: {"username": registries.USER, "password": registries.PASSWORD}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        done = run(tmp_path / "out", *argv, DOCKER_CONFIG=str(tmp_path))
        assert done.code == 0, done.err + done.out
        everything = done.out + done.err + done.log("a") + json.dumps(done.report)
        assert registries.PASSWORD not in everything


def test_json_on_standard_output_is_the_report_and_nothing_else(
    app: Callable[..., Run], base: str, tmp_path: Path
) -> None:
    trees.function(tmp_path / "tree", "a", function(base))
    done = app("--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == done.report
    assert "a " in done.err


def test_in_ci_systems_that_fold_each_function_folds_with_its_whole_log(
    app: Callable[..., Run], base: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        step = f"RUN echo output of {name} {uuid.uuid4()}"
        trees.function(tmp_path / "tree", name, function(base, step))
    done = app(GITHUB_ACTIONS="true", GITHUB_RUN_ID="5", GITHUB_SHA="2" * 40)
    assert done.code == 0, done.err
    folds = done.err.split("::group::")[1:]
    assert len(folds) == 2
    for fold in folds:
        name = fold.split()[1]
        inside = fold.partition("::endgroup::")[0]
        assert f"output of {name}" in inside
        assert done.log(name).strip() in inside


def _kill(victim: str, home: Home, environ: dict[str, str]) -> None:
    """Kills the daemon of ``home``, or the session of the run that carries ``environ``."""
    if victim == "daemon":
        status = daemon.status(home)
        assert status
        os.kill(status.pid, signal.SIGKILL)
        return
    sessions = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _carries(process, environ["TEST_MARK"]) and b"ci.engine.cli" in _read(process, "cmdline")
    ]
    assert sessions
    for pid in sessions:
        os.kill(pid, signal.SIGKILL)


def _carries(process: Path, mark: str) -> bool:
    return f"TEST_MARK={mark}".encode() in _read(process, "environ").split(b"\0")


def _read(process: Path, file: str) -> bytes:
    try:
        return (process / file).read_bytes()
    except OSError:
        return b""


def _dagger_answers() -> bool:
    if not shutil.which("dagger"):
        return False
    try:
        done = subprocess.run(
            ["dagger", "core", "version"], capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _running(sleep: str) -> bool:
    """Whether a process anywhere on this machine sleeps for just so long."""
    return any(
        sleep.encode() in _read(process, "cmdline").split(b"\0")
        for process in Path("/proc").glob("[0-9]*")
    )


def _gone(sleep: str) -> None:
    _until(lambda: not _running(sleep), seconds=5)


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def _copy(host: str, source: str, target: str) -> str:
    """``source:latest`` as ``target:latest``, blobs mounted; its digest."""
    accept = {"Accept": registries.MANIFEST}
    with httpx.Client(base_url=f"http://{host}/v2/", trust_env=False) as client:
        manifest = client.get(f"{source}/manifests/latest", headers=accept)
        document: dict[str, Any] = manifest.json()
        for blob in [document["config"], *document["layers"]]:
            mount = {"mount": blob["digest"], "from": source}
            client.post(f"{target}/blobs/uploads/", params=mount).raise_for_status()
        client.put(
            f"{target}/manifests/latest", content=manifest.content,
            headers={"Content-Type": registries.MANIFEST},
        ).raise_for_status()  # fmt: skip
    return registries.digest(host, target, "latest")


def _retag(host: str, name: str, digest: str, tag: str) -> None:
    accept = {"Accept": registries.MANIFEST}
    url = f"http://{host}/v2/{name}/manifests"
    manifest = httpx.get(f"{url}/{digest}", headers=accept, trust_env=False)
    httpx.put(
        f"{url}/{tag}", content=manifest.content, trust_env=False,
        headers={"Content-Type": registries.MANIFEST},
    ).raise_for_status()  # fmt: skip
