"""The SDK's connection to the session that is open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """``dagger.dag`` answers inside; one connection for the whole process.

    What is worth another attempt is decided by who asks, never by repeating any query blindly.
    """
    import dagger

    only_connect = dagger.Config(retry=dagger.Retry(connect=True, execute=False))
    async with dagger.connection(only_connect):
        # Tasks that asked their first queries side by side would each connect, and fail.
        await dagger.dag.version()
        yield
