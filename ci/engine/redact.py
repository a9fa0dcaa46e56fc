"""Secrets and their removal from everything that leaves the engine."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MASK = "***"


@dataclass(frozen=True)
class Secret:
    """A named value. Its ``repr`` and its identity (``tag``, keyed per session) never show it."""

    name: str
    tag: str
    value: bytes = field(repr=False, compare=False)

    @classmethod
    def make(cls, name: str, plaintext: str, session_key: bytes) -> Secret:
        value = plaintext.encode()
        return cls(name, hmac.digest(session_key, value, "sha256").hex(), value)


class Redactor:
    """Knows the session's secrets; replaces each by ``***``, the longest first.

    As in Dagger, surrounding white space of a secret does not count, and an empty one is ignored.
    """

    def __init__(self) -> None:
        self._needles: list[bytes] = []

    def learn(self, secret: Secret) -> None:
        needle = secret.value.strip()
        if needle and needle not in self._needles:
            self._needles.append(needle)
            self._needles.sort(key=len, reverse=True)

    def clean(self, data: bytes) -> bytes:
        for needle in self._needles:
            data = data.replace(needle, MASK.encode())
        return data

    def text(self, text: str) -> str:
        return self.clean(text.encode()).decode(errors="replace") if self._needles else text

    def held_back(self, data: bytes) -> int:
        """How many last bytes of ``data`` could be the start of a secret."""
        return max((_overlap(data, needle) for needle in self._needles), default=0)


def _overlap(data: bytes, needle: bytes) -> int:
    longest = min(len(data), len(needle) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(needle[:n])), 0)


class Stream:
    """Redacts a stream that arrives in pieces, a secret across two pieces included."""

    def __init__(self, redactor: Redactor, emit: Callable[[bytes], None]) -> None:
        self._redactor = redactor
        self._emit = emit
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        data = self._redactor.clean(self._rest + piece)
        keep = self._redactor.held_back(data)
        ready, self._rest = data[: len(data) - keep], data[len(data) - keep :]
        if ready:
            self._emit(ready)

    def close(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""


def redactor_of(secrets: Iterable[Secret]) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.learn(secret)
    return redactor
