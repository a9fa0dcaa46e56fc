"""One local cloud for all rehearsals: begun once, the tests here go through it in their order.

It is a home of its own, with the programs that set-up installed: nothing of the user's is touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import pipeline
from kit.checkouts import checkout
from kit.local_cloud import LocalCloud
from kit.pipeline import Run

from ci.cloud import _LOCAL_CREDENTIALS, Cloud
from ci.engine.buildkit import daemon as engine
from ci.home import Home
from ci.local import registry, standin
from ci.local.aws_apis import daemon
from ci.local.functions import ACCOUNT


@pytest.fixture(scope="session")
def own_home(user_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    registry.install(user_home, os.environ, print)
    standin.install(user_home, os.environ, print)
    home = Home(tmp_path_factory.mktemp("rehearsal") / "home")
    home.local.mkdir(parents=True)
    for name in ("bin", "python", "local/stand-in"):
        (home.root / name).symlink_to(user_home.root / name)
    yield home
    daemon.stop(home)
    registry.stop(home)
    engine.stop(home, force=True)


@pytest.fixture(scope="session")
def images(first: Run, own_home: Home) -> str:
    """``host:port`` of the registry that holds its images."""
    found = registry.status(own_home)
    assert found
    return found.host


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, as a developer has it; tests change it."""
    return checkout(tmp_path_factory.mktemp("project") / "tree")


@pytest.fixture(scope="session")
def rehearse(
    own_home: Home, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """Rehearses the tree."""

    def run(*argv: str, source: Path = tree, **environ: str) -> Run:
        options = ["--source", str(source), "--engine", "embedded", *argv]
        environ = {"PIPELINE_HOME": str(own_home.root)} | environ
        return pipeline.run(tmp_path_factory.mktemp("run") / "out", "rehearse", *options, **environ)

    return run


@pytest.fixture(scope="session")
def first(rehearse: Callable[..., Run], tree: Path) -> Run:
    """The first rehearsal of all, in an empty cloud; those after it end with the stacks."""
    run = rehearse()
    shutil.rmtree(tree / "sample_data")
    return run


@pytest.fixture(scope="session")
def cloud(first: Run, own_home: Home) -> LocalCloud:
    """The cloud in which it went on."""
    found = daemon.status(own_home)
    assert found
    region = "us-east-1"
    return LocalCloud(own_home, Cloud(ACCOUNT, region, "", _LOCAL_CREDENTIALS, found.port))
