"""A Docker daemon of our own: its files below one directory, no network set-up, a unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.peers import Say, Unavailable, docker
from benchmarks.processes import environment, tail
from ci.daemons import Process, spawn
from ci.engine.buildkit import procfs

START_SECONDS = 30.0


class Docker:
    """Debian's dockerd, with the BuildKit that is built into it."""

    def __init__(self, lab: Lab, say: Say) -> None:
        self.lab, self.say = lab, say
        self.root = lab.root / "docker"
        self.unpacked = Path()
        self.process: Process | None = None

    def prepare(self) -> str:
        if os.geteuid() != 0:
            raise Unavailable("dockerd needs root")
        self.unpacked = docker(self.lab.tools, environment(os.environ), self.say)
        self.root.mkdir()
        said = self._run("dockerd", "--version")
        if said.returncode:
            raise Unavailable(f"dockerd does not run: {said.stderr.strip()}")
        self._start()  # what it lacks shows only now
        self.rest()
        return f"dockerd {said.stdout.split()[2].rstrip(',')}"

    def empty(self) -> bool:
        self.rest()
        shutil.rmtree(self.root / "data", ignore_errors=True)
        self._start()
        return True

    def between(self, tags: Sequence[str]) -> None:
        # `push --all-tags` would push the tags of earlier runs again and again.
        old = [
            f"{self.lab.registry}/stg-{name}:{tag}"
            for name in self.lab.functions
            for tag in tags
            if tag != "latest"
        ]
        self._run("docker", "image", "rm", *old)

    def rest(self) -> None:
        if self.process:
            self.process.end(20)
            self.process = None
        for point in procfs.mounts_below(self.root):
            subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)

    @property
    def environ(self) -> dict[str, str]:
        """What the ``docker`` command needs to reach this daemon."""
        bins = [self.unpacked / "usr/bin", self.unpacked / "usr/sbin", self.lab.home.bin]
        libraries = sorted({str(file.parent) for file in self.unpacked.glob("*/**/*.so.*")})
        inherited = os.environ.get("LD_LIBRARY_PATH")
        return {
            "PATH": ":".join([*map(str, bins), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": ":".join([*libraries, *([inherited] if inherited else [])]),
            "DOCKER_HOST": f"unix://{self.root}/docker.sock",
            "DOCKER_CONFIG": str(self.root / "client"),
            "DOCKER_BUILDKIT": "1",
        }

    def _start(self) -> None:
        log = self.root / "log"
        log.write_bytes(b"")
        (self.root / "daemon.json").write_text("{}")  # not the machine's own
        options = [
            *("--host", f"unix://{self.root}/docker.sock", "--pidfile", f"{self.root}/pid"),
            *("--data-root", f"{self.root}/data", "--exec-root", f"{self.root}/exec"),
            *("--config-file", f"{self.root}/daemon.json", "--bridge", "none"),
            *("--iptables=false", "--ip6tables=false"),
        ]
        program = str(self.unpacked / "usr/sbin/dockerd")
        environ = environment(os.environ) | self.environ
        self.process = spawn([program, *options], log, environ)
        deadline = time.monotonic() + START_SECONDS
        while self.process and self.process.alive() and time.monotonic() < deadline:
            if self._run("docker", "version").returncode == 0:
                return
            time.sleep(0.1)
        self.rest()
        raise Unavailable(f"dockerd does not start:\n{tail(log)}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        directory = "sbin" if program == "dockerd" else "bin"
        return subprocess.run(
            [str(self.unpacked / "usr" / directory / program), *arguments],
            env=environment(os.environ) | self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
