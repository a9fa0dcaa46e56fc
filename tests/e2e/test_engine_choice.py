"""A Dagger engine that cannot reach this machine's registries: told, or passed over."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import pipeline

from ci.engine.buildkit import daemon
from ci.home import Home
from ci.local import registry, standin

pytestmark = [pytest.mark.e2e, pytest.mark.dagger]


@pytest.fixture(autouse=True)
def _needs_dagger() -> None:
    if not shutil.which("dagger"):
        pytest.skip("no dagger CLI on PATH")


@pytest.fixture
def own(home: Home, user_home: Home) -> Iterator[dict[str, str]]:
    """A home whose registry no engine.json names."""
    standin.install(user_home, os.environ, print)
    (home.root / "python").symlink_to(user_home.root / "python")
    home.local.mkdir(exist_ok=True)
    (home.local / "stand-in").symlink_to(user_home.local / "stand-in")
    registry.ensure(home, os.environ, 5051)
    yield {"PIPELINE_HOME": str(home.root)}
    registry.stop(home)
    daemon.stop(home, force=True)


def test_an_engine_without_the_mirror_is_told_what_it_lacks(
    own: dict[str, str], tmp_path: Path
) -> None:
    run = pipeline.run(tmp_path / "out", "rehearse", "--engine", "dagger", **own)
    assert run.code == 2
    assert "its engine does not pull from public.ecr.aws through 127.0.0.1:" in run.err
    assert '{"public.ecr.aws": {"mirrors": ["127.0.0.1:' in run.err
    assert "--engine embedded" in run.err


def test_auto_passes_over_an_engine_without_the_mirror(own: dict[str, str], tmp_path: Path) -> None:
    run = pipeline.run(tmp_path / "out", "rehearse", "--only", "routing-lambda", **own)
    assert run.code == 0, run.err
    assert run.report["engine"]["kind"] == "embedded"
