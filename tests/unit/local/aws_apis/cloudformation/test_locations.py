from __future__ import annotations

import pytest

from ci.local.aws_apis.cloudformation.locations import Object, parsed


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://localhost:5100/b/a/k.yaml", Object("b", "a/k.yaml")),
        ("http://127.0.0.1:5100/b/k", Object("b", "k")),
        ("http://aws.localhost:5100/b/k%20y", Object("b", "k y")),
        ("https://s3.amazonaws.com/b/k", Object("b", "k")),
        ("https://s3.us-east-1.amazonaws.com/b/k?versionId=v1", Object("b", "k", "v1")),
        ("https://s3-eu-west-1.amazonaws.com/b/k", Object("b", "k")),
        ("https://b.s3.amazonaws.com/k", Object("b", "k")),
        ("https://b.c.s3.us-east-1.amazonaws.com/a/k", Object("b.c", "a/k")),
        ("https://b.s3.cn-north-1.amazonaws.com.cn/k", Object("b", "k")),
        ("s3://b/a/k", Object("b", "a/k")),
        ("http://localhost:5101/b/k", None),
        ("https://example.com/b/k", None),
        ("https://s3.amazonaws.com/b", None),
        ("ftp://s3.amazonaws.com/b/k", None),
        ("k.yaml", None),
    ],
)
def test_objects_that_urls_name(url: str, found: Object | None) -> None:
    assert parsed(url, 5100) == found
