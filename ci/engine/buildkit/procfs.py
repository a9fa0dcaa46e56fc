"""Questions about other processes that only Linux's /proc can answer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ci.daemons import Process

_CAP_SYS_ADMIN = 21  # capabilities(7)


def find_by_argument(argument: str) -> list[Process]:
    """Every living process that was started with exactly this argument."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    found = [Process.of(pid) for pid in pids if argument in _arguments(pid)]
    return [process for process in found if process]


def describe(pid: int) -> str:
    """``pid 12 (python main.py)``: two words at most, since arguments may be confidential."""
    words = [Path(word).name for word in _arguments(pid)[:2] if not word.startswith("-")]
    return f"pid {pid} ({' '.join(words).strip()})" if any(words) else f"pid {pid}"


def lock_holders(file: Path) -> list[int]:
    """Pids that hold a flock(2) on the file, as far as the kernel shows them (proc(5), locks)."""
    try:
        stat = file.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    inode = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    # "1: FLOCK  ADVISORY  WRITE 708 fe:00:13872 0 EOF"; a waiter has "->" as its second word.
    rows = [line.split() for line in lines]
    return sorted({int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == inode})


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN; root in an ordinary container has not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return True


def mounts_below(directory: Path) -> list[str]:
    """Mount points below the directory, the innermost first."""
    points = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        # Spaces and their like are written as octal escapes (proc(5), mounts; getmntent(3)).
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[1])
        if point.startswith(f"{directory}/"):
            points.append(point)
    return sorted(points, reverse=True)


def _arguments(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []
