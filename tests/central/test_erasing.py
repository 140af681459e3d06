"""Erasing a member at the centre: no byte of any file tells who they were, and it does not come back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace
from sqlalchemy import select

from central import erasing, operations
from central.db import tables
from central.journal import Erased, Journal, erased, replay
from central.snapshots import forget_snapshots
from loyalty.receipt import MemberReference
from sync.records import ErasedBody, ProfileBody, body_digest, chain_next, chain_start
from sync.wire import ErasuresResponse
from tests.central.conftest import RunningCentre, only_sqlite
from tests.central.test_joining import PHONE, join, told
from tests.central.till import NOON, Till, receipt

NAME, CARD, NOTE = "Iva Erasable", "TS77001", "asks for a blue bag"
PERSON = (NAME.encode(), CARD.encode(), NOTE.encode(), PHONE.encode(), b"641234567", b"64 123")


def hits(folder: Path) -> list[str]:
    """Files with bytes that tell who it was."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [f"{path.name} {text.decode()}" for path in files for text in PERSON if text in path.read_bytes()]


async def lived(centre: RunningCentre) -> Till:
    """A member who joined, bought by card and by phone, and whose entries were set aside, too."""
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE, 1)}))
    till.sale(receipt(1, code=CARD), member="p-1")
    till.sale(receipt(2, member=MemberReference(code=PHONE, kind="phone", entry="typed")))
    till.sale(receipt(3, code="TS0001"))
    till.told("profile", ProfileBody(member="nobody", fields={"note": told("x"), "phone": told(PHONE)}))
    await till.send(1)
    return till


def erase(centre: RunningCentre) -> None:
    """As the command does it."""
    erasure = centre.write(lambda c: operations.erase_member(c, "p-1", centre.clock()))
    Journal(centre.folder.journal).note(erased(erasure))
    forget_snapshots(centre.folder.snapshots)
    centre.database.overwrite_deleted()


@only_sqlite
async def test_no_byte_of_any_file_tells_who_it_was(centre: RunningCentre, data: Path) -> None:
    till = await lived(centre)
    await till.changes()
    await till.snapshot()
    assert {f"centre.db {text.decode()}" for text in PERSON[:4]} <= set(hits(data))

    erase(centre)

    assert hits(data) == []
    # And what was bought is there, and is nobody's that could be named
    assert centre.points("p-1") == 20
    rows = centre.read(lambda c: c.execute(select(tables.receipts).where(tables.receipts.c.member == "p-1")).all())
    assert [(row.code, row.total_minor) for row in rows] == [(None, 100_00)] * 2


async def test_the_chain_can_be_checked_without_the_bodies(centre: RunningCentre) -> None:
    till = await lived(centre)
    erase(centre)

    entries = tables.entries
    rows = centre.read(lambda c: c.execute(select(entries).order_by(entries.c.seq)).all())
    h = chain_start(till.device, till.epoch)
    for row, sent in zip(rows, till.sent, strict=True):
        kept = replace(sent, salt=msgspec.UNSET, body=msgspec.UNSET, digest=row.digest) if row.digest else sent
        h = chain_next(h, kept)
        assert row.h == h.hex()
        assert bool(row.digest) == (sent.seq != 5)
        assert (row.body == b"") == bool(row.digest)
    assert body_digest(till.sent[0].salt or "", till.sent[0].json).hex() == rows[0].digest


async def test_what_comes_later_does_not_bring_the_member_back(centre: RunningCentre) -> None:
    till = await lived(centre)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)
    first = len(till.sent) + 1
    # When a register that was away sends what it holds: a sale of before, one of after, an edit, the join itself
    till.sale(receipt(60, code=CARD), member="p-1")
    till.sale(receipt(200, code=CARD))
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE, 2)}))
    till.told("join", join(name=NAME, card=CARD))
    outcomes = (await till.send(first)).outcomes

    assert {one.code for one in outcomes} == {"accepted"}
    assert centre.points("p-1") == 30
    assert [one.op for one in (await till.changes()).changes if one.member == "p-1"] == ["erase"]
    entries = tables.entries
    kept = centre.read(lambda c: c.execute(select(entries.c.body).where(entries.c.seq >= first)).scalars().all())
    assert kept == [b""] * 4
    assert centre.read(lambda c: operations.show(c, "p-1", NOON)).member.identifiers == ()


async def test_a_card_of_an_erased_member_may_be_anothers(centre: RunningCentre) -> None:
    till = await lived(centre)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)
    centre.write(lambda c: operations.link(c, "m3", CARD, centre.clock()))

    await till.sell(receipt(61, code=CARD), receipt(240, code=CARD))

    assert (centre.points("p-1"), centre.points("m3")) == (30, 10)


async def test_registers_are_told_by_number_and_confirm(centre: RunningCentre) -> None:
    till = await lived(centre)
    erase(centre)
    erase(centre)

    beat = await till.heartbeat()
    (erasure,) = (await till.get("/v1/erasures?after=0", ErasuresResponse)).erasures
    waiting = centre.read(erasing.listed)[0].waiting_for
    till.told("erased", ErasedBody(member="p-1", erasure=erasure.number))
    await till.send(len(till.sent))

    assert (beat.erasures, erasure.number, erasure.member) == (1, 1, "p-1")
    assert CARD not in msgspec.json.encode(erasure).decode()
    assert (await till.get("/v1/erasures?after=1", ErasuresResponse)).erasures == ()
    assert waiting == ("12/3",)
    assert centre.read(erasing.listed)[0].waiting_for == ()


async def test_a_database_of_before_is_erased_again_by_the_journal(centre: RunningCentre) -> None:
    # Given a journal with an erasure, and a database that is older: the member is there, or never was
    await lived(centre)
    for number, member in enumerate(("p-1", "p-gone"), start=1):
        fact = Erased(at=NOON, number=number, member=member, aliases=(f"{member}-too",), codes=())
        Journal(centre.folder.journal).note(fact)
    # When it is brought in, and once more
    for _ in range(2):
        centre.write(partial(replay, facts=Journal(centre.folder.journal).facts()))
    # Then both are erased, and whoever sends them again finds nobody
    assert [one.member for one in centre.read(erasing.listed)] == ["p-1", "p-gone"]
    assert centre.read(lambda c: operations.show(c, "p-1-too", NOON)).member.short_name is msgspec.UNSET
    till = await centre.till("4")
    till.told("join", join("p-gone-too", name=NAME, card="TS77009"))
    (outcome,) = (await till.send(1)).outcomes
    assert (outcome.code, outcome.detail) == ("accepted", "the member was erased; nothing of this was kept")
    assert centre.points("p-1") == 20
