"""The project's own working tree, copied for a test that changes it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from kit.templates import ROOT

IDENTITY = ["-c", "user.name=Developer", "-c", "user.email=developer@example.com"]


def checkout(target: Path) -> Path:
    """A git checkout with one commit: what is tracked, or neither tracked nor ignored."""
    words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    git(target, "init", "--quiet", "--initial-branch", "main")
    commit(target, "Initial commit")
    return target


def commit(tree: Path, message: str) -> str:
    """Commits everything; the commit."""
    git(tree, "add", "--all")
    git(tree, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(tree, "rev-parse", "HEAD").strip()


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout
