"""What set-up installs: a name and the reason, told to the user before it happens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """One thing to install; ``why`` ends the sentence "installing NAME: …"."""

    name: str
    why: str
