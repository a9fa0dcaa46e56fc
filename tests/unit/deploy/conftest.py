"""A local cloud and a registry for a module's tests; each test has a region of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from kit import registries
from kit.deployments import World, roles

from ci.home import Home
from ci.local.aws_apis import daemon

# Each test has a region to itself: a stack's name is nobody else's.
_REGIONS = sorted(boto3.session.Session().get_available_regions("lambda"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def local_cloud(
    registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Home, int, Iterator[str]]]:
    home = Home(tmp_path_factory.mktemp("home"))
    cloud = daemon.ensure(home, os.environ, registry_host=registry)
    roles(cloud.port)
    yield home, cloud.port, iter(_REGIONS)
    daemon.stop(home)


_NUMBERS = itertools.count(1)


@pytest.fixture
def world(local_cloud: tuple[Home, int, Iterator[str]], registry: str, tmp_path: Path) -> World:
    home, port, regions = local_cloud
    # Images of one test are none of another's.
    number = next(_NUMBERS)
    made = World(
        tmp_path, port, next(regions), registry, f"artifacts-{number}", f"dev{number}", home
    )
    s3 = made.client("s3")
    if made.region == "us-east-1":
        s3.create_bucket(Bucket=made.bucket)
    else:
        place = {"LocationConstraint": made.region}
        s3.create_bucket(Bucket=made.bucket, CreateBucketConfiguration=place)
    return made
