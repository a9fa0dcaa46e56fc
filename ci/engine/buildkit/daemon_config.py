"""What a BuildKit daemon is told: its configuration file and its environment."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.errors import InputError

# Never the user's whole environment: the daemon outlives the run, and cloud credentials in it
# would outlive it too.
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where Go programs look, in its order: crypto/x509/root_linux.go.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# A mirror may name a directory of the registry that holds the copies.
_REGISTRY = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d+)?(/[\w./-]+)?")
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class DaemonConfig:
    """What can be chosen about the daemon; a daemon with another choice has to be restarted."""

    mirrors: tuple[tuple[str, str], ...] = ()
    """(registry host, ``host:port`` of its mirror); on a loopback address it is plain HTTP."""
    http_registries: tuple[str, ...] = ()
    """Registries (``host:port``) that speak plain HTTP. Loopback addresses always may."""
    ca_bundle: str | None = None
    """PEM file of authorities that registries may be signed by, beside the system's."""
    disk_limit_mb: int = 20_000
    """Size of the build cache, in megabytes (10**6 bytes), above which the oldest is removed."""

    def serves(self, wanted: DaemonConfig) -> bool:
        """Whether a run that wants ``wanted`` can share a daemon of this configuration.

        More mirrors than wanted do no harm, while another run has them.
        """
        return (
            set(wanted.mirrors) <= set(self.mirrors)
            and set(wanted.http_registries) <= set(self.http_registries)
            and wanted.ca_bundle in (None, self.ca_bundle)
            and wanted.disk_limit_mb == self.disk_limit_mb
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DaemonConfig:
        """The configuration whose ``asdict`` was written as JSON."""
        return cls(
            mirrors=tuple((host, mirror) for host, mirror in data["mirrors"]),
            http_registries=tuple(data["http_registries"]),
            ca_bundle=data["ca_bundle"],
            disk_limit_mb=data["disk_limit_mb"],
        )


@dataclass(frozen=True)
class Paths:
    """The files of one daemon, all in one directory that only its user may enter."""

    state: Path
    socket: Path
    root: Path
    temporary: Path
    toml: Path
    authorities: Path
    log: Path
    record: Path
    start_lock: Path
    use_lock: Path

    @classmethod
    def of(cls, state: Path) -> Paths:
        return cls(
            state,
            socket=state / "buildkitd.sock",
            root=state / "root",
            temporary=state / "tmp",
            toml=state / "buildkitd.toml",
            authorities=state / "authorities.pem",
            log=state / "buildkitd.log",
            record=state / "buildkitd.json",
            start_lock=state / "start.lock",
            use_lock=state / "use.lock",
        )


def render(config: DaemonConfig, paths: Paths, runc: Path) -> str:
    """The text of ``buildkitd.toml``.

    Source: docs/buildkitd.toml.md of BuildKit 0.34. Raises ``InputError`` for a choice that makes
    no sense.
    """
    limit = config.disk_limit_mb * _MEGABYTE
    if limit < 1000 * _MEGABYTE:
        raise InputError(
            "build cache limit",
            f"{config.disk_limit_mb} MB is too little to hold a base image and a build",
            "allow at least 1000 MB",
        )
    lines = [
        f"root = {_quoted(paths.root)}",
        "[grpc]",
        f"address = [{_quoted(f'unix://{paths.socket}')}]",
        # Its default is one path for all daemons of the machine.
        "[otel]",
        f"socketPath = {_quoted(paths.state / 'otel.sock')}",
        "[cdi]",
        "disabled = true",
        "[worker.containerd]",
        "enabled = false",
        "[worker.oci]",
        "enabled = true",
        f"binary = {_quoted(runc)}",
        # Overlayfs where the file system below allows it, else a slower way that works.
        'snapshotter = "auto"',
        'networkMode = "host"',
        "gc = true",
        f"reservedSpace = {limit // 10}",
        f"maxUsedSpace = {limit}",
        f"minFreeSpace = {2000 * _MEGABYTE}",
    ]
    for host, mirrors, plain in _registries(config):
        lines.append(f"[registry.{_quoted(host)}]")
        if mirrors:
            lines.append(f"mirrors = [{', '.join(_quoted(mirror) for mirror in mirrors)}]")
        if plain:
            lines.append("http = true")
    return "\n".join(lines) + "\n"


def _registries(config: DaemonConfig) -> list[tuple[str, list[str], bool]]:
    for name in (*config.http_registries, *itertools.chain(*config.mirrors)):
        if not _REGISTRY.fullmatch(name):
            raise InputError(
                "registry mirror", f"{name!r} is not a registry", "write it as HOST or HOST:PORT"
            )
    mirrors: dict[str, list[str]] = {}
    for host, mirror in config.mirrors:
        mirrors.setdefault(host, []).append(mirror)
    plain = {*config.http_registries}
    plain |= {mirror for _, mirror in config.mirrors if _is_loopback(mirror)}
    return [(host, mirrors.get(host, []), host in plain) for host in sorted({*mirrors, *plain})]


def _is_loopback(registry: str) -> bool:
    host = registry.partition("/")[0].rpartition(":")[0] or registry
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)  # a TOML basic string, for what we write


def environment(
    config: DaemonConfig, paths: Paths, bin_dir: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """The daemon's whole environment: proxies and authorities of the user's, and nothing else."""
    names = (*_PASSED_ON, *(name.lower() for name in _PASSED_ON[:4]))
    env = {name: environ[name] for name in names if environ.get(name)}
    if config.ca_bundle:
        env["SSL_CERT_FILE"] = str(paths.authorities)
    return env | {
        "PATH": f"{bin_dir}:{_SYSTEM_PATH}",
        "HOME": str(paths.state),
        "TMPDIR": str(paths.temporary),
        # Or a step's log is cut after 2 MB, and slowed down to 200 kB/s.
        "BUILDKIT_STEP_LOG_MAX_SIZE": "-1",
        "BUILDKIT_STEP_LOG_MAX_SPEED": "-1",
    }


def authorities(config: DaemonConfig, environ: Mapping[str, str]) -> bytes:
    """PEM of the system's certificate authorities and the configured ones; empty if none are.

    Both, because ``SSL_CERT_FILE`` replaces the system's bundle. Raises ``InputError`` where the
    configured file holds no certificate.
    """
    if not config.ca_bundle:
        return b""
    try:
        own = Path(config.ca_bundle).read_bytes()
    except OSError as error:
        problem = error.strerror or str(error)
    else:
        problem = "" if b"-----BEGIN CERTIFICATE-----" in own else "holds no PEM certificate"
    if problem:
        raise InputError(
            f"CA bundle {config.ca_bundle}", problem, "name a readable file of PEM certificates"
        )
    for candidate in (environ.get("SSL_CERT_FILE", ""), *_SYSTEM_BUNDLES):
        if candidate and Path(candidate).is_file():
            return Path(candidate).read_bytes().rstrip() + b"\n" + own
    return own


def fingerprint(env: Mapping[str, str], pem: bytes) -> str:
    """Changes when the daemon's surroundings do; tells nothing about a password in a proxy."""
    return hashlib.sha256(json.dumps(sorted(env.items())).encode() + pem).hexdigest()
