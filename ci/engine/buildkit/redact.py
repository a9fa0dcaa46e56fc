"""Secrets and their removal from everything that leaves the engine."""

from __future__ import annotations

from collections.abc import Callable

MASK = b"***"


class Secrets:
    """The secrets of a session, by name, and the replacement of each by ``***``.

    As in Dagger, a name that is set again has the new value from then on; every value that was
    ever set is replaced, the longest first; white space around a value does not count.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._needles: list[bytes] = []

    def set(self, name: str, plaintext: str) -> None:
        self._values[name] = plaintext
        needle = plaintext.strip().encode()
        if needle and needle not in self._needles:
            self._needles.append(needle)
            self._needles.sort(key=len, reverse=True)

    def value(self, name: str) -> str:
        return self._values[name]

    def clean(self, data: bytes) -> bytes:
        for needle in self._needles:
            data = data.replace(needle, MASK)
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

    def __init__(self, secrets: Secrets, emit: Callable[[bytes], None]) -> None:
        self._secrets = secrets
        self._emit = emit
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        data = self._secrets.clean(self._rest + piece)
        keep = self._secrets.held_back(data)
        ready, self._rest = data[: len(data) - keep], data[len(data) - keep :]
        if ready:
            self._emit(ready)

    def close(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""
