"""Waits until the kernel has bytes for the event loop, or takes some. Owns nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

Handle = int | socket.socket


async def readable(handle: Handle) -> None:
    loop = asyncio.get_running_loop()
    await _ready(handle, loop.add_reader, loop.remove_reader)


async def writable(handle: Handle) -> None:
    loop = asyncio.get_running_loop()
    await _ready(handle, loop.add_writer, loop.remove_writer)


async def _ready(handle: Handle, add: Callable[..., None], remove: Callable[[Handle], bool]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(handle, wake)
    try:
        await ready
    finally:
        remove(handle)
