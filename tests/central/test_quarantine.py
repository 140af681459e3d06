"""Entries set aside at the centre: they can be read, put right and applied, and nothing counts twice."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from typer.testing import CliRunner

from central import quarantine, scopes
from central.cli import app
from central.db import tables
from central.quarantine import Again, Body, BodyRefusedError
from sync.records import Entry
from tests.central.conftest import RunningCentre, serving
from tests.central.till import NOON, Till, receipt


def _without_body(till: Till, seq: int) -> None:
    """The entry goes with its digest, as where something on the way takes no request of its size."""
    till.sent[seq - 1] = till.sent[seq - 1].without_body()


def _body_of(entry: Entry) -> bytes:
    return msgspec.json.encode(Body(salt=entry.salt or "", body=Raw(entry.json)))


async def test_an_entry_without_its_body_is_booked_and_holds_up_nothing(centre: RunningCentre) -> None:
    # Given three sales, of which the second cannot travel
    till = await centre.till()
    for number in range(1, 4):
        till.sale(receipt(number, code="TS0001"))
    whole = till.sent[1]
    _without_body(till, 2)
    # When they come, twice
    answer = await till.send(1)
    again = await till.send(1)
    # Then all are acknowledged on the register's own chain, and the second waits in sight
    assert answer.acked_through == 3
    assert answer.chain_hash == till.hash_at(3).hex()
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "quarantined", "accepted"]
    assert again.outcomes == answer.outcomes
    assert centre.points("m1") == 20
    [item] = centre.read(quarantine.listed).items
    assert (item.reason, item.seq, item.key) == ("digest_only", 2, whole.key)
    assert "queue show" in item.remedy
    # And the whole one, which a register would send after all, is the same entry
    till.sent[1] = whole
    assert (await till.send(2)).outcomes[0].code == "quarantined"
    # And another one's body is not taken for it
    with pytest.raises(BodyRefusedError, match="another entry's body"):
        centre.write(lambda c: quarantine.bring_body(c, item.id, _body_of(till.sent[0]), NOON))
    with pytest.raises(BodyRefusedError, match="queue show"):
        centre.write(lambda c: quarantine.bring_body(c, item.id, b"{}", NOON))
    # And brought by a person it counts, once
    assert centre.write(lambda c: quarantine.bring_body(c, item.id, _body_of(whole), NOON)).applied == 1
    assert centre.points("m1") == 30
    rows = centre.read(lambda c: c.execute(tables.entries.select().where(tables.entries.c.seq == 2)).all())
    assert bytes(rows[0].body) == whole.json
    assert centre.read(quarantine.listed).items == ()


async def test_a_receipt_that_came_whole_since_waits_no_more(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = receipt(1, code="TS0001")
    till.sale(sold)
    _without_body(till, 1)
    till.sale(sold)
    await till.send(1)
    assert centre.write(lambda c: quarantine.retry(c, NOON)) == Again(applied=1, waiting=0)
    assert centre.points("m1") == 10


async def test_who_bought_what_was_set_aside_was_at_the_store(centre: RunningCentre) -> None:
    # Given a sale whose body could not travel
    till = await centre.till(store="14")
    till.sale(receipt(1, code="TS0001"))
    whole = till.sent[0]
    _without_body(till, 1)
    await till.send(1)
    [item] = centre.read(quarantine.listed).items
    assert centre.read(lambda c: scopes.stores_holding(c, ["m1"])) == set()
    # When a person brings it a month later
    later = NOON + timedelta(days=30)
    centre.write(lambda c: quarantine.bring_body(c, item.id, _body_of(whole), later))
    # Then the member was seen there when it came
    seen = centre.read(lambda c: c.execute(tables.scope_members.select()).all())
    assert [(row.store, row.member, row.seen_at, row.held) for row in seen] == [("14", "m1", NOON, 1)]


def _known_later(centre: RunningCentre, kind: str) -> None:
    """As if an older version had taken this kind in."""

    def change(connection: Any) -> None:
        table, entry = tables.quarantine, centre_entry(connection)
        raw = msgspec.json.encode(msgspec.structs.replace(entry, kind=kind))
        connection.execute(table.update().values(kind=kind, raw=raw))

    def centre_entry(connection: Any) -> Entry:
        return msgspec.json.decode(connection.execute(tables.quarantine.select()).one().raw, type=Entry)

    centre.write(change)


async def test_what_a_version_did_not_know_is_applied_by_itself_after_the_update(data: Path) -> None:
    # Given a sale under a kind that nobody knows yet
    async with serving(data) as centre:
        till = await centre.till()
        sold = till.sale(receipt(1, code="TS0001"))
        till.sent, till.hashes = [], []
        till.entry("sale_of_tomorrow", sold.key, sold.json)
        await till.send(1)
        assert centre.points("m1") == 0
        # And as long as it stays unknown nothing is tried
        assert centre.apply_what_may() == 0
        # When a version starts that handles it
        _known_later(centre, "receipt")
    async with serving(data) as centre:
        # Then it counts, and does so once however often it is started
        assert centre.points("m1") == 10
        assert centre.read(quarantine.listed).items == ()
    async with serving(data) as centre:
        assert centre.points("m1") == 10


def _ran(data: Path, *arguments: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["quarantine", *arguments, "--data", str(data), "--json"])
    return done.exit_code, json.loads(done.stdout)


async def test_the_command_line_lists_shows_repairs_and_dismisses(centre: RunningCentre, tmp_path: Path) -> None:
    till = await centre.till()
    whole = till.sale(receipt(1, code="TS0001"))
    _without_body(till, 1)
    till.entry("levitate", "k", b"{}")
    await till.send(1)
    folder = centre.folder.path

    code, listed = _ran(folder, "list")
    assert (code, listed["reasons"]) == (0, {"digest_only": 1, "unknown_kind": 1})
    large, strange = (item["id"] for item in listed["items"])
    assert _ran(folder, "list", "--after", str(large))[1]["items"][0]["id"] == strange
    assert _ran(folder, "show", str(large))[1]["entry"]["digest"] == whole.body_digest.hex()
    assert _ran(folder, "show", "99")[0] == 1
    assert _ran(folder, "retry", str(strange))[1] == {"applied": 0, "waiting": 1}

    (tmp_path / "entry.json").write_bytes(_body_of(whole))
    assert _ran(folder, "body", str(large), str(tmp_path / "entry.json")) == (0, {"applied": 1, "waiting": 0})
    assert centre.points("m1") == 10
    assert _ran(folder, "body", str(large), str(tmp_path / "entry.json"))[0] == 1

    assert _ran(folder, "dismiss", str(strange), "--reason", " ")[0] == 2
    assert _ran(folder, "dismiss", str(strange), "--reason", "a test")[0] == 0
    assert _ran(folder, "list")[1] == {"items": [], "reasons": {}}
