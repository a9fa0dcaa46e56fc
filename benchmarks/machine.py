"""What the figures were measured on, and with what."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

BUSY = 0.25
"""Load per core (of the last minute) above which figures are not to be trusted."""


def describe() -> dict[str, object]:
    """The machine, its system, and how busy it is."""
    return {
        "processor": _after("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(_after("/proc/meminfo", "MemTotal").split()[0]) / 1e6, 1),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "dagger_io": metadata.version("dagger-io"),
        "load": round(os.getloadavg()[0], 2),
    }


def warning(machine: Mapping[str, object]) -> str:
    """What to know before believing the figures; blank where the machine did nothing else."""
    load, cores = float(str(machine["load"])), int(str(machine["cores"]))
    if load <= BUSY * cores:
        return ""
    return f"the machine was busy (load {load} on {cores} cores): not figures to quote"


def sentence(machine: Mapping[str, object]) -> str:
    """The machine in one line."""
    return (
        "{cores} cores ({processor}), {memory_gb} GB, {system}, kernel {kernel}, "
        "Python {python}, dagger-io {dagger_io}"
    ).format(**machine)


def _after(file: str, key: str) -> str:
    for line in Path(file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "0"
