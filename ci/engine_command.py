"""``engine start|stop|status``: the embedded engine's daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO

from ci.engine.buildkit import daemon
from ci.engine.buildkit.daemon_config import DaemonConfig
from ci.home import Home
from ci.settings import Settings


def engine(settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str]) -> int:
    """Does ``settings.action``; 0, also where there was nothing to stop. Raises PipelineError."""
    if settings.action == "stop":
        stopped = daemon.stop(home)
        _say(settings, out, {"stopped": stopped}, "stopped" if stopped else "was not running")
        return 0
    if settings.action == "start":
        daemon.ensure(home, environ, _config(settings))
    status = daemon.status(home)
    if not status:
        _say(
            settings, out, {"running": False}, "not running (engine start, or any build, starts it)"
        )
        return 0
    facts = {key: value for key, value in asdict(status).items() if key != "config"}
    lines = [
        f"BuildKit {status.version} runs as pid {status.pid} at {status.address}",
        f"  cache    {status.cache_mb / 1000:.1f} of {status.config.disk_limit_mb / 1000:.0f} GB, "
        f"{status.snapshotter}",
        f"  log      {status.log}",
        *(f"  mirror   {host} → {mirror}" for host, mirror in status.config.mirrors),
        *(f"  used by  {user}" for user in status.users),
    ]
    _say(settings, out, {"running": True, **facts}, "\n".join(lines))
    return 0


def _config(settings: Settings) -> DaemonConfig | None:
    """What the user chose; None keeps the configuration last used."""
    if not settings.mirrors and not settings.ca_bundle:
        return None
    bundle = str(settings.ca_bundle.absolute()) if settings.ca_bundle else None
    return DaemonConfig(mirrors=settings.mirrors, ca_bundle=bundle)


def _say(settings: Settings, out: IO[str], facts: Mapping[str, object], text: str) -> None:
    print(json.dumps(facts, default=str) if settings.json else text, file=out)
