"""A daemon's home, build steps that need no base image, and other processes beside us."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ci.engine.buildkit import daemon, install
from ci.home import Home

STEP = """
package main

import ("fmt"; "net"; "os"; "time")

func main() {
	switch os.Args[1] {
	case "surroundings":
		resolver, _ := os.ReadFile("/etc/resolv.conf")
		interfaces, _ := net.Interfaces()
		fmt.Printf("%s\\n", resolver)
		for _, i := range interfaces { fmt.Println("interface", i.Name) }
	case "sleep":
		fmt.Println("sleeping")
		time.Sleep(10 * time.Minute)
	case "write":
		block := make([]byte, 1<<20)
		file, err := os.Create("/data")
		for i := 0; i < 300 && err == nil; i++ { _, err = file.Write(block) }
		if err != nil { fmt.Println(err); os.Exit(1) }
	case "talk":
		for i := 0; i < 60000; i++ { fmt.Printf("%080d\\n", i) }
	}
}
"""


PREAMBLE = """
import os, pathlib
from ci.engine.buildkit import daemon
from ci.home import Home
home = Home(pathlib.Path({root!r}))
"""


@pytest.fixture(scope="session")
def context(tmp_path_factory) -> Path:
    """A build context with a static program, so that steps need no base image."""
    directory = tmp_path_factory.mktemp("context")
    (directory / "step.go").write_text(STEP)
    build = ["go", "build", "-trimpath", "-buildvcs=false", "-o", "step", "step.go"]
    subprocess.run(build, cwd=directory, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    return directory


@pytest.fixture
def home(user_home):
    """A home of the test's own: at a short path, since a socket has to fit in it."""
    install.install(user_home, os.environ, print)
    with tempfile.TemporaryDirectory(prefix="d-") as directory:
        home = Home(Path(directory))
        home.bin.symlink_to(user_home.bin)
        yield home
        daemon.stop(home, force=True)


@pytest.fixture
def buildctl(home: Home, context: Path):
    """A build of ``base`` (default: nothing) with one step; ``name`` tells steps apart."""

    @contextlib.contextmanager
    def run(*command: str, name: str = "", base: str = "", output: str = ""):
        lines = [f"FROM {base or 'scratch'}", f"ENV NAME={name}"]
        if command:
            lines += ["COPY step /", f"RUN {json.dumps(['/step', *command])}"]
        (context / f"Dockerfile{name}").write_text("\n".join(lines))
        child = subprocess.Popen(
            [
                *(home.bin / "buildctl", "--addr", f"unix://{home.engine}/buildkitd.sock"),
                *("build", "--progress=plain", *(["--output", output] if output else [])),
                *("--frontend=dockerfile.v0", "--opt", f"filename=Dockerfile{name}"),
                *("--local", f"context={context}", "--local", f"dockerfile={context}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield child
        except BaseException:
            child.kill()
            raise
        finally:
            child.communicate()

    return run


@pytest.fixture
def build(buildctl) -> Callable[..., str]:
    """A build that has to succeed; returns its log."""

    def run(*command: str, **options: str) -> str:
        with buildctl(*command, **options) as child:
            said = child.stderr.read()
        assert child.returncode == 0, said
        return said

    return run


@pytest.fixture
def another_process(
    home: Home,
) -> Callable[[str], contextlib.AbstractContextManager[subprocess.Popen[str]]]:
    """Runs Python that prints a line when it has begun, and ends it with the block."""

    @contextlib.contextmanager
    def run(code: str) -> Iterator[subprocess.Popen[str]]:
        program = PREAMBLE.format(root=str(home.root)) + code
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()

    return run
