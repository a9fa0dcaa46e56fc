from __future__ import annotations

import pytest

from ci.aws import Credentials
from ci.cloud import Cloud
from ci.deploy.bucket import location, url

HERE = Credentials("k", "s")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("https://s3.us-east-1.amazonaws.com/b/k/t.template", ("b", "k/t.template")),
        ("https://s3.cn-north-1.amazonaws.com.cn/b/t", ("b", "t")),
        ("https://b.s3.eu-west-1.amazonaws.com/k/t", ("b", "k/t")),
        ("https://my.bucket.s3.amazonaws.com/t", ("my.bucket", "t")),
        ("https://b.s3-eu-west-1.amazonaws.com/t", ("b", "t")),
        ("http://aws.localhost:5100/b/t%20x", ("b", "t x")),
        ("s3://b/k/t", ("b", "k/t")),
        ("https://s3.amazonaws.com/b", None),
        ("s3://b", None),
    ],
)
def test_where_a_template_lies(given: str, place: tuple[str, str] | None) -> None:
    assert location(given) == place


@pytest.mark.parametrize(
    ("cloud", "wanted"),
    [
        (Cloud("1", "eu-west-1", "b", HERE), "https://s3.eu-west-1.amazonaws.com/b/k"),
        (Cloud("1", "cn-north-1", "b", HERE), "https://s3.cn-north-1.amazonaws.com.cn/b/k"),
        (Cloud("1", "us-east-1", "b", HERE, 5100), "http://localhost:5100/b/k"),
    ],
)
def test_how_cloudformation_finds_it(cloud: Cloud, wanted: str) -> None:
    assert url(cloud, "k") == wanted
    assert location(wanted) == ("b", "k")
