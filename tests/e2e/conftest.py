"""Real containers, registries and daemons, on what set-up installed for this user."""

import os
from pathlib import Path

import pytest

from ci.home import Home
from ci.local import registry


@pytest.fixture(scope="session")
def user_home() -> Home:
    """The home that set-up filled: its programs, never its state, serve the tests below."""
    return Home.from_environ(os.environ)


@pytest.fixture
def home(user_home: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the installed programs in it."""
    registry.install(user_home, os.environ, print)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bin").symlink_to(user_home.bin)
    return Home(tmp_path / "home")
