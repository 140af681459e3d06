"""Where people join by telephone, as registers hear of it from a real centre."""

from __future__ import annotations

from pathlib import Path

from central.setup import OFF, InitOptions, initialise
from tests.browser.till import free_port
from tests.sync.centre import QUICK_HEARTBEAT_S, register, running_centre, serving, utc_now


async def test_a_register_hears_of_the_join_page_and_of_its_end(tmp_path: Path) -> None:
    async with (
        running_centre(tmp_path / "centre", join=f"127.0.0.1:{free_port()}") as centre,
        register(tmp_path / "3", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till,
    ):
        join = centre.folder.settings().join
        assert join is not None
        await till.until(lambda: till.store.join_url() == join.url and till.store.code_key() is not None)
        key = till.store.code_key()
    # without a network it stays
    async with register(tmp_path / "3", centre, exchanging=False) as till:
        assert (till.store.join_url(), till.store.code_key()) == (join.url, key)

    initialise(tmp_path / "centre", InitOptions(join=OFF), utc_now())
    async with (
        serving(tmp_path / "centre") as centre,
        register(tmp_path / "3", centre, url=centre.url, heartbeat_s=QUICK_HEARTBEAT_S) as till,
    ):
        await till.until(lambda: till.store.join_url() == "")
        assert till.store.code_key() == key
