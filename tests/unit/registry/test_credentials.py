from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ci.registry.credentials import Login, of_docker

AUTH = base64.b64encode(b"user:pa:ss").decode()


def config(**auths: object) -> str:
    return json.dumps({"auths": auths})


def test_logins_of_docker_are_found(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(config(**{"x.io": {"auth": AUTH}}))
    assert of_docker({"HOME": str(tmp_path)}) == {"x.io": Login("x.io", "user", "pa:ss")}


def test_docker_config_and_docker_auth_config_come_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config(**{"a.io": {"auth": AUTH}}))
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert list(of_docker(environ)) == ["a.io"]
    environ["DOCKER_AUTH_CONFIG"] = config(**{"b.io": {"username": "u", "password": "p"}})
    assert of_docker(environ) == {"b.io": Login("b.io", "u", "p")}


def test_docker_hub_has_one_name(tmp_path: Path) -> None:
    text = config(**{"https://index.docker.io/v1/": {"auth": AUTH}})
    assert list(of_docker({"DOCKER_AUTH_CONFIG": text})) == ["docker.io"]


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"auths": 3}', '{"auths": {"x": {"auth": "%"}}}']
)
def test_what_cannot_be_read_is_no_login(text: str, tmp_path: Path) -> None:
    assert of_docker({"DOCKER_AUTH_CONFIG": text, "HOME": str(tmp_path)}) == {}
