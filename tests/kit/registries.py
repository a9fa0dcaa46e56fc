"""Debian's docker-registry, started for a test, and images put into it without an engine."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ci.home import Home

USER, PASSWORD = "tester", "secret"
_HTPASSWD = "tester:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def program() -> str:
    """The registry that set-up installed; skips the test where there is none."""
    found = shutil.which("docker-registry", path=str(Home.from_environ(os.environ).bin))
    found = found or shutil.which("docker-registry")
    if not found:
        pytest.skip("no docker-registry: run `make setup`")
    return found


@contextlib.contextmanager
def running(directory: Path, *, login: bool = False) -> Iterator[str]:
    """A registry of its own under ``directory``; its ``host:port``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "blobs")},
                    "delete": {"enabled": True}},
        "http": {"addr": host},
    }  # fmt: skip
    if login:
        (directory / "htpasswd").write_text(_HTPASSWD + "\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    (directory / "config.json").write_text(json.dumps(config))
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [program(), "serve", str(directory / "config.json")], stdout=log, stderr=log
        )
    try:
        _await(host, directory / "registry.log")
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _await(host: str, log: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://{host}/v2/", trust_env=False)
            return
        time.sleep(0.05)
    raise AssertionError(f"no registry at {host}: {log.read_text()}")


def push_image(
    host: str, name: str, tag: str, *, config: dict[str, object] | None = None, content: str = "x"
) -> str:
    """A real one-layer image, pushed by hand; its digest."""
    blob = gzip.compress(content.encode(), mtime=0)
    document = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}} | (config or {})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(host, name, json.dumps(document).encode(), CONFIG),
        "layers": [_blob(host, name, blob, LAYER)],
    }
    return put_manifest(host, name, tag, manifest, MANIFEST)


def put_manifest(host: str, name: str, tag: str, manifest: object, media_type: str) -> str:
    """A manifest under a tag; its digest."""
    body = json.dumps(manifest).encode()
    url = f"http://{host}/v2/{name}/manifests/{tag}"
    answer = httpx.put(url, content=body, headers={"Content-Type": media_type}, trust_env=False)
    answer.raise_for_status()
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def tags(host: str, name: str) -> dict[str, str]:
    """Digest by tag of a repository; empty when it does not exist."""
    answer = httpx.get(f"http://{host}/v2/{name}/tags/list", trust_env=False)
    names = (answer.json().get("tags") or []) if answer.is_success else []
    return {tag: digest(host, name, tag) for tag in names}


def clear(host: str, name: str) -> None:
    """Deletes every image of a repository."""
    for each in set(tags(host, name).values()):
        url = f"http://{host}/v2/{name}/manifests/{each}"
        httpx.delete(url, trust_env=False).raise_for_status()


def digest(host: str, name: str, reference: str) -> str:
    """The digest that the registry gives for a tag or digest."""
    answer = httpx.head(
        f"http://{host}/v2/{name}/manifests/{reference}",
        headers={"Accept": f"{MANIFEST}, {INDEX}"},
        trust_env=False,
    )
    answer.raise_for_status()
    return answer.headers["docker-content-digest"]


def _blob(host: str, name: str, content: bytes, media_type: str) -> dict[str, object]:
    key = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(trust_env=False) as client:
        place = client.post(f"http://{host}/v2/{name}/blobs/uploads/").headers["location"]
        client.put(place, params=dict(httpx.URL(place).params) | {"digest": key}, content=content)
    return {"mediaType": media_type, "digest": key, "size": len(content)}
