"""The sample data lake, deployed once and at work for all tests of this room."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kit import lakes, local_cloud
from kit.functions import surroundings
from kit.lakes import AtWork

from ci.cloud import Cloud
from ci.engine.session import Session
from ci.local.lambdas.host import hosting
from ci.local.registry import Registry
from ci.sample.lake import find

PREFIX = "e2elake"


@pytest.fixture(scope="session")
def lake_cloud(
    tmp_path_factory: pytest.TempPathFactory, local_registry: Registry, base_image: str
) -> Iterator[Cloud]:
    """A local cloud with the four stacks in it."""
    directory = tmp_path_factory.mktemp("lake")
    with local_cloud.running(directory / "home", local_registry.host) as running:
        running.client("s3").create_bucket(Bucket="lake-artifacts")
        assert running.cloud.port
        lakes.deploy(directory, running.cloud.port, PREFIX, "lake-artifacts")
        yield running.cloud


@pytest.fixture(scope="session")
async def at_work(
    anyio_backend: str,
    session: Session,
    local_registry: Registry,
    lake_cloud: Cloud,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[AtWork]:
    """The lake with its records, its functions running."""
    results: Path = tmp_path_factory.mktemp("results")
    lake = find(lake_cloud, PREFIX)
    helper = surroundings(results).helper
    async with hosting(lake_cloud, local_registry.host, helper, results) as host:
        found = AtWork(lake, host, results, local_registry.host)
        # What the tests wait for most: the next look for files that wait for stage B.
        rule = f"{lake.prefix}engineering-meteorites-stage-b"
        lake.client("events").put_rule(Name=rule, ScheduleExpression="rate(1 minute)")
        await found.load()
        yield found
