"""Credentials of registries: the ones that `docker login` left, and those given for this run."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Login:
    """User and password of one registry. The password never shows in a repr or a log."""

    host: str
    user: str
    password: str = field(repr=False)


def of_docker(environ: Mapping[str, str]) -> dict[str, Login]:
    """Logins by host from ``DOCKER_AUTH_CONFIG``, else ``$DOCKER_CONFIG/config.json``.

    Only what is written there: credential helpers are programs that we do not run. An unreadable
    file is no login. Source: Docker CLI reference, "docker login".
    """
    text = environ.get("DOCKER_AUTH_CONFIG", "")
    if not text:
        home = Path(environ.get("HOME", "/nonexistent"))
        path = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            return {}
    try:
        entries = json.loads(text).get("auths", {})
        logins = [_login(host, entry) for host, entry in entries.items()]
    except (ValueError, AttributeError, TypeError):
        return {}
    return {login.host: login for login in logins if login}


def _login(name: str, entry: Mapping[str, str]) -> Login | None:
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    host = "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host
    if entry.get("username") and entry.get("password"):
        return Login(host, entry["username"], entry["password"])
    try:
        user, colon, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(host, user, password) if colon else None
