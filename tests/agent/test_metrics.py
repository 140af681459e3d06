"""A register's numbers for Prometheus, as the status has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.cli.status import status_command
from tests.agent.shop import Shop, receipt


def settings_of(shop: Shop) -> Path:
    file = shop.folder / "tillside.toml"
    file.write_text('[register]\nstore = "12"\nregister = "3"\n[paths]\nstate = "state"\n')
    return file


async def test_a_register_that_does_not_run_is_told_in_numbers(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await shop.seed()
    shop.print(receipt(1), 30)
    shop.print(b"\x1b@MYSTERY\n\x1dV\x00", 40)
    await shop.take_all()
    shop.close()
    settings = settings_of(shop)
    capsys.readouterr()

    assert status_command(config=str(settings), as_json=False, metrics=True) == 0

    told = {
        (sample.name, sample.labels.get("verdict", "")): sample.value
        for family in text_string_to_metric_families(capsys.readouterr().out)
        for sample in family.samples
    }
    assert told["tillside_agent_running", ""] == 0
    assert (told["tillside_queued_entries", ""], told["tillside_quarantined_items", ""]) == (1, 1)
    assert told["tillside_members", ""] == 2
    assert sum(value for (name, _), value in told.items() if name == "tillside_verdict") == 1
