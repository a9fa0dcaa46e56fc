from __future__ import annotations

import pytest

from ci.registry import reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.13", "docker.io/library/python:3.13"),
        ("team/app", "docker.io/team/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
        ("public.ecr.aws/lambda/python:3.13", "public.ecr.aws/lambda/python:3.13"),
        (f"x.io/a@{DIGEST}", f"x.io/a@{DIGEST}"),
        (f"x.io/a:1@{DIGEST}", f"x.io/a:1@{DIGEST}"),
    ],
)
def test_a_from_means_its_full_name(text: str, full: str) -> None:
    assert str(reference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    ["", ":latest", "x.io/", "x.io/A", "a b", "x.io/a:ta/g:", "x.io/a@sha256:12", "x.io/a:b c"],
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(reference.InvalidReference):
        reference.parse(text)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:5000", "127.1.2.3", "localhost", "localhost:1", "[::1]:5"]
)
def test_this_machine(host: str) -> None:
    assert reference.is_loopback(host)
    assert not reference.is_loopback(f"x{host}")
    assert not reference.is_loopback("127.0.0.1.example.com")


@pytest.mark.parametrize("name", ["ab", "stg-a", "a/b_c.d", "x" * 256])
def test_names_that_ecr_takes(name: str) -> None:
    assert reference.refused_by_ecr(name) is None


@pytest.mark.parametrize(
    "name", ["a", "x" * 257, "Ab", "a--b", "-a", "a-", "a b", "ä-b", "a//b", "a._b"]
)
def test_names_that_ecr_refuses(name: str) -> None:
    assert reference.refused_by_ecr(name)


@pytest.mark.parametrize(
    ("host", "owner"),
    [
        ("012345678901.dkr.ecr.us-east-1.amazonaws.com", ("012345678901", "us-east-1")),
        ("012345678901.dkr.ecr.cn-north-1.amazonaws.com.cn", ("012345678901", "cn-north-1")),
        (
            "012345678901.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            ("012345678901", "us-gov-west-1"),
        ),
        ("public.ecr.aws", None),
        ("127.0.0.1:5000", None),
    ],
)
def test_ecr_registries_are_known_by_their_host(host: str, owner: tuple[str, str] | None) -> None:
    assert reference.ecr_owner(host) == owner
    assert reference.is_ecr(host) == bool(owner)
