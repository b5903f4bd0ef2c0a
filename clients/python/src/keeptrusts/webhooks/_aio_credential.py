"""The API key for programs with asyncio: its file is read by a thread, so that the event loop does not wait for it."""

from __future__ import annotations

import asyncio

from ._credential import Credential


async def current_key(credential: Credential) -> str:
    """As `Credential.current`."""
    return await key_read_again(credential) if credential.is_stale() else credential.last()


async def key_read_again(credential: Credential) -> str:
    """As `Credential.read_again`."""
    return await asyncio.to_thread(credential.read_again)
