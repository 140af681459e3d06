"""Ingest: sequence, chain and effects in one transaction."""

from __future__ import annotations

from tests.central.conftest import RunningCentre
from tests.central.till import receipt


async def test_a_receipt_becomes_points_and_a_change(centre: RunningCentre) -> None:
    # Given an enrolled register
    till = await centre.till()
    # When it sends a receipt of a member
    answer = await till.sell(receipt(1, 123_45, code="ts 0001"))
    # Then the centre's ledger holds the points, and the feed shows them at the position it names
    assert answer.acked_through == 1
    assert answer.chain_hash == till.hash_at(1).hex()
    [outcome] = answer.outcomes
    assert outcome.code == "accepted"
    assert centre.points("m1") == 12
    changes = await till.changes()
    [row] = [change for change in changes.changes if change.member == "m1"]
    assert row.pos == outcome.pos
    assert row.row
    assert row.row.balance.confirmed == 12
