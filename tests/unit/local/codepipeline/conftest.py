from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from kit import local_cloud, registries
from kit.local_cloud import LocalCloud
from kit.rehearsals import Rehearsed

_NUMBERS = count(1)


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a registry that holds the account's images."""
    with registries.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="package")
def cloud(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud for all tests here: each has names of its own."""
    with local_cloud.running(tmp_path_factory.mktemp("home"), registry) as found:
        yield found


@pytest.fixture
def rehearsed(cloud: LocalCloud, registry: str, tmp_path: Path) -> Rehearsed:
    """A pipeline that is yet to be declared."""
    return Rehearsed(cloud, registry, tmp_path, f"p{next(_NUMBERS)}")
