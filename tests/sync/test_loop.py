"""What the loop owes to whoever supervises it; its work is shown in test_against_centre.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sync.store.errors import StoreClosedError
from tests.faults.proxy import REFUSED, FaultyProxy
from tests.sync.centre import register, running_centre


async def test_what_the_store_raises_comes_out_as_itself(tmp_path: Path) -> None:
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "till", centre, exchanging=False) as till,
    ):
        till.close_store()

        with pytest.raises(StoreClosedError):
            await till.loop.run(lambda: None)


async def test_it_is_ready_before_the_centre_is_reached(tmp_path: Path) -> None:
    ready = asyncio.Event()
    async with (
        running_centre(tmp_path / "centre") as centre,
        FaultyProxy("127.0.0.1", centre.port, lambda _: REFUSED) as network,
        register(tmp_path / "till", centre, url=f"https://127.0.0.1:{network.port}", exchanging=False) as till,
    ):
        running = asyncio.create_task(till.loop.run(ready.set))
        await ready.wait()
        assert not till.loop.state.online

        running.cancel()
        await asyncio.wait({running})
