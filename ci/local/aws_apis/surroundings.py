"""What the daemon was told about the rest of this machine: the registry, the function host."""

from __future__ import annotations

import threading


class Surroundings:
    """Hosts and URLs that others register; each is blank until then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registry = ""
        self._function_host = ""

    @property
    def registry(self) -> str:
        """``127.0.0.1:PORT`` of the registry that holds the account's images."""
        return self._registry

    @property
    def function_host(self) -> str:
        """``http://127.0.0.1:PORT`` of the process that runs functions."""
        return self._function_host

    def set_registry(self, host: str) -> None:
        self._registry = host

    def set_function_host(self, url: str) -> None:
        """The newest host wins: an earlier one that was killed could not take its leave."""
        with self._lock:
            self._function_host = url.rstrip("/")

    def drop_function_host(self, url: str) -> bool:
        """Whether ``url`` was the host; another's registration stays."""
        with self._lock:
            if self._function_host != url.rstrip("/"):
                return False
            self._function_host = ""
            return True
