"""Where builds are redirected to: the one place that keeps them on this machine.

A build host of CodeBuild has a role, an engine and the account's registry. Here its commands get
the local cloud's APIs and credentials, this run's choice of an engine, this home's registry; and
nothing of the user's environment but what a machine needs to reach anything at all.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ci.cloud import Cloud
from ci.home import Home
from ci.settings import OPTIONS, Settings

_ROOT = Path(__file__).resolve().parents[2]
# Proxies, certificates, mirrors, container hosts; the engine's own variables come by their prefix.
_PASSED_ON = (
    "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
    "PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_DEFAULT_TIMEOUT",
    "DOCKER_HOST", "DOCKER_CONFIG", "DO_NOT_TRACK", "DAGGER_NO_NAG", "DAGGER_NO_UPDATE_CHECK",
)  # fmt: skip
_OF_ENGINE = "_EXPERIMENTAL_DAGGER_"
_CHOSEN = ("engine", "registry", "mirrors", "ca_bundle", "jobs", "timeout", "max_context", "pin")
"""Options of the rehearsal that its builds get, too."""


def inherited(environ: Mapping[str, str], programs: Path) -> dict[str, str]:
    """What a build's commands find on this machine; ``programs`` comes first on their PATH."""
    here = {name: environ[name] for name in _PASSED_ON if name in environ}
    path = environ.get("PATH", os.defpath)
    return here | {"PATH": f"{programs}:{Path(sys.executable).parent}:{path}"}


def redirected(
    settings: Settings, environ: Mapping[str, str], home: Home, cloud: Cloud
) -> dict[str, str]:
    """What has the last word in a build's environment."""
    local = "localhost,127.0.0.1"
    excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    no_proxy = f"{excepted},{local}" if excepted else local
    return {
        **_of_engine(environ),
        **dict(cloud.credentials.variables()),
        **_options(settings),
        "AWS_ENDPOINT_URL": str(cloud.endpoint),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIPELINE_HOME": str(home.root),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def programs(directory: Path, *, embedded: bool) -> Path:
    """A directory of programs for builds: ``python``, and with ``embedded`` our own ``dagger``."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    _program(directory / "python", f'exec {python} "$@"')
    if embedded:
        start = (
            f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from ci.engine.cli import main; "
            "sys.exit(main())"
        )
        _program(directory / "dagger", f'exec {python} -P -c {shlex.quote(start)} "$@"')
    return directory


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _of_engine(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_OF_ENGINE)}


def _options(settings: Settings) -> dict[str, str]:
    """The options that somebody chose, by their environment names."""
    return dict(_chosen(settings))


def _chosen(settings: Settings) -> Iterator[tuple[str, str]]:
    for option in OPTIONS:
        if option.name not in _CHOSEN or settings.origins[option.name] == "default":
            continue
        value = getattr(settings, option.name)
        if option.name == "mirrors":
            value = " ".join(f"{host}={mirror}" for host, mirror in value)
        elif option.name == "ca_bundle":
            value = value.absolute()
        elif option.name == "timeout":
            value = f"{value:g}s"
        yield option.env, str(value)
