from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import local_cloud, registries
from kit.local_cloud import LocalCloud


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a registry that holds the account's images."""
    with registries.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def cloud(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud for the tests of a module: each makes stacks of its own."""
    home: Path = tmp_path_factory.mktemp("home")
    with local_cloud.running(home, registry) as found:
        yield found
