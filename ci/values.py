"""Readers of option values: text in, value out, or a ``ValueError`` that says what was expected.

Each error message completes the sentence ``'<text>' …``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ci.registry.reference import HOST, InvalidReference, parse_repository

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name of ``known`` that ``word`` was probably meant to be."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=cutoff)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], instead: str = "") -> str:
    """``did you mean x?`` for the closest of ``known``, else ``instead``."""
    close = closest(word, known)
    return f"did you mean {close}?" if close else instead


def word(text: str) -> str:
    """Any text that is not blank."""
    if not text.strip():
        raise ValueError("is blank")
    return text


def words(text: str) -> tuple[str, ...]:
    """``a,b c`` is three words."""
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def choice(*allowed: str) -> Callable[[str], str]:
    """One of ``allowed``, with the closest one named when it is misspelt."""

    def parse(text: str) -> str:
        if text in allowed:
            return text
        raise ValueError(
            f"is none of {', '.join(allowed)}; {did_you_mean(text, allowed)}".rstrip("; ")
        )

    return parse


def switch(text: str) -> bool:
    """Yes or no, as environment variables spell it."""
    lowered = text.strip().lower()
    if lowered in _YES:
        return True
    if lowered in _NO:
        return False
    hint = did_you_mean(lowered, _YES + _NO)
    raise ValueError(f"is neither yes nor no (1, true, on; 0, false, off); {hint}".rstrip("; "))


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (re.fullmatch(r"[0-9]{1,6}", text) and int(text) > 0):
        raise ValueError("is no whole number of 1 or more")
    return int(text)


def duration(text: str) -> float:
    """Seconds: ``90``, ``90s``, ``30m``, ``1.5h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if not match or not float(match[1]):
        raise ValueError("is no duration such as 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def size(text: str) -> int:
    """Bytes: ``500MB``, ``2GB`` (powers of ten), or a bare number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    if not match or not float(match[1]):
        raise ValueError("is no size such as 500MB or 2GB")
    return int(float(match[1]) * _BYTES[match[2]])


def path(text: str) -> Path:
    """A path, ``~`` expanded."""
    return Path(word(text)).expanduser()


def region(text: str) -> str:
    """An AWS region, by its shape: the list of regions grows."""
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", text):
        raise ValueError("is no AWS region such as us-east-1")
    return text


def registry(text: str) -> str:
    """``host[:port]`` with an optional path before the repository names."""
    if "://" in text:
        raise ValueError("has a scheme; give the bare host, as in registry.example.com:5000")
    host, _, folder = text.strip().rstrip("/").partition("/")
    if not HOST.fullmatch(host) or (folder and not re.fullmatch(r"[a-z0-9._/-]+", folder)):
        raise ValueError("is no registry such as 127.0.0.1:5000 or registry.example.com/team")
    return text.strip().rstrip("/")


def repository(text: str) -> str:
    """``host/path`` of an image, without a tag: the Dockerfile adds its own."""
    try:
        reference = parse_repository(text.strip())
    except InvalidReference as error:
        raise ValueError(f"is no repository such as registry.example.com/name: {error}") from error
    return reference.repository


def digest(text: str) -> str:
    """The digest of an image. Source: OCI Image Specification, "Digests"."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError("is no digest of the form sha256: and 64 hexadecimal digits")
    return text


def stack(text: str) -> str:
    """A stack's name. Source: CloudFormation API Reference, CreateStack, ``StackName``."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", text):
        raise ValueError("is no stack name: letters, digits and -, a letter first")
    return text


def role(text: str) -> str:
    """The ARN of an IAM role. Source: IAM User Guide, "IAM identifiers"."""
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+", text):
        raise ValueError("is no role such as arn:aws:iam::123456789012:role/name")
    return text


def account(text: str) -> str:
    """The number of an AWS account."""
    if not re.fullmatch(r"[0-9]{12}", text):
        raise ValueError("is no account id of 12 digits")
    return text


def is_local_url(text: str) -> bool:
    """Whether ``text`` is ``http://127.0.0.1:PORT``, or the same by the name localhost."""
    return bool(re.fullmatch(r"http://(?:127\.0\.0\.1|localhost):[0-9]{1,5}/?", text))


def mirrors(text: str) -> tuple[tuple[str, str], ...]:
    """``upstream=mirror`` pairs, by comma or space."""
    pairs = [part.partition("=") for part in words(text)]
    for host, _, mirror in pairs:
        if not (HOST.fullmatch(host) and HOST.fullmatch(mirror)):
            raise ValueError("is no mirror such as public.ecr.aws=mirror.example.com:5000")
    return tuple((host, mirror) for host, _, mirror in pairs)


def tell_bytes(number: float) -> str:
    """``1.2 GB``."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number:.0f} B"


def tell_seconds(seconds: float) -> str:
    """``0.4 s``, ``3 m 20 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"
