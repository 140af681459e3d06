"""Erasing a member at the centre: no byte of any file tells who they were, and it does not come back."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, insert, select, text

from central import cards, devices, erasing, members, operations, quarantine
from central.db import tables
from central.journal import Erased, Journal, erased, replay
from central.snapshots import forget_snapshots
from loyalty.addresses import hidden_code
from loyalty.receipt import Line, MemberReference, Receipt
from sync.records import (
    AliasBody,
    ConsentBody,
    Entry,
    ErasedBody,
    ProfileBody,
    ReceiptBody,
    SignalBody,
    ToldCode,
    body_digest,
    chain_next,
    chain_start,
)
from sync.wire import ErasuresResponse
from tests.central.conftest import RunningCentre, only_postgresql, only_sqlite
from tests.central.test_joining import PHONE, join, told
from tests.central.test_joining import row as shown
from tests.central.till import NOON, RefusedError, Till, receipt
from tests.postgres import Server

NAME, CARD, NOTE, ORDER = "Iva Erasable", "TS77001", "asks for a blue bag", "a pram on shelf 12"
PERSON = (
    NAME.encode(),
    CARD.encode(),
    b"ts-77001",
    NOTE.encode(),
    ORDER.encode(),
    PHONE.encode(),
    b"641234567",
    b"64 123",
)


def hits(folder: Path) -> list[str]:
    """Files with bytes that tell who it was."""
    files = ((path.name, path.read_bytes()) for path in folder.rglob("*") if path.is_file())
    return [f"{name} {text.decode()}" for name, held in files for text in PERSON if text in held]


async def lived(centre: RunningCentre) -> Till:
    """A member who joined, bought by card and by phone, and whose entries were set aside, too."""
    till = await centre.till()
    till.told("join", join(name=NAME, card=CARD))
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE, 1)}))
    till.sale(receipt(1, code=CARD), member="p-1")
    till.sale(receipt(2, member=MemberReference(code=PHONE, kind="phone", entry="typed")))
    till.sale(receipt(3, code="TS0001"))
    till.told("profile", ProfileBody(member="nobody", fields={"note": told("x"), "phone": told(PHONE)}))
    till.attach(receipt(1).key, f" {CARD}")
    till.attach("to-come", CARD.lower().replace("ts", "ts-"))
    till.entry("signal", "s", msgspec.json.encode(SignalBody(what="seen", member=MemberReference(code=CARD))))
    await till.send(1)
    line = {"kind": "order", "text": ORDER, "at": NOON}
    context = {"source": "webshop", "members": [{"member": CARD, "lines": [line]}]}
    centre.write(lambda c: operations.import_context(c, msgspec.json.encode(context), NOON))
    return till


def erase(centre: RunningCentre) -> None:
    """As the command does it."""
    erasure = centre.write(lambda c: operations.erase_member(c, "p-1", centre.clock()))
    Journal(centre.folder.journal).note(erased(erasure))
    forget_snapshots(centre.folder.snapshots)
    if centre.database.overwrites_beside_others:
        centre.database.overwrite_deleted()


@only_sqlite
async def test_no_byte_of_any_file_tells_who_it_was(centre: RunningCentre, data: Path) -> None:
    till = await lived(centre)
    await till.changes()
    await till.snapshot()
    assert {hit.replace("db-wal", "db") for hit in hits(data)} >= {f"centre.db {text.decode()}" for text in PERSON[:5]}

    erase(centre)

    assert hits(data) == []
    assert_nobody_bought(centre)


@only_postgresql
async def test_no_byte_of_the_servers_files_tells_who_it_was(centre: RunningCentre, postgres: Server) -> None:
    # Given a member of whom tables, indexes, statistics and the write-ahead log hold something
    till = await lived(centre)
    await till.changes()
    await till.snapshot()
    centre.write(lambda c: operations.block(c, CARD, "lost", NOON))
    centre.write(lambda c: c.exec_driver_sql("ANALYZE"))
    centre.write(lambda c: c.exec_driver_sql("CHECKPOINT"))
    with_card = {hit for hit in hits(postgres.data) if hit.endswith(CARD)}
    tables_with_card = ("identifiers", "card_changes", "receipts", "events", "attachments", "pg_statistic")
    assert with_card >= {f"{file_of(centre, table)} {CARD}" for table in tables_with_card}
    assert [hit for hit in with_card if re.match("[0-9A-F]{24} ", hit)], "the log holds nothing"

    # When she is erased: rows that are gone are still in the files, until these are written anew
    erase(centre)
    centre.write(lambda c: c.exec_driver_sql("CHECKPOINT"))
    assert len(hits(postgres.data)) > len(with_card)
    centre.database.overwrite_deleted()

    assert hits(postgres.data) == []
    assert hits(centre.folder.path) == []
    assert_nobody_bought(centre)
    # And the centre works on
    await till.sell(receipt(9, code="TS0001"))
    assert centre.points("m1") == 20


def file_of(centre: RunningCentre, table: str) -> str:
    """The name of the file that PostgreSQL has the table in."""
    query = text("SELECT pg_relation_filepath(:table)")
    path: str = centre.read(lambda c: c.execute(query, {"table": table}).scalar_one())
    return Path(path).name


def assert_nobody_bought(centre: RunningCentre) -> None:
    """What the erased member bought is there, and is nobody's that could be named."""
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


# ---- what waits for a person


def waiting(centre: RunningCentre) -> dict[int, Entry]:
    """The entries that are set aside and wait, by their number in the register's chain."""
    table = tables.quarantine.c
    unresolved = select(tables.quarantine).where(table.resolved_at.is_(None)).order_by(table.id)
    rows = centre.read(lambda c: c.execute(unresolved).all())
    return {row.seq: msgspec.json.decode(row.raw, type=Entry) for row in rows}


def on_hold(centre: RunningCentre, till: Till) -> None:
    """Two machines alternate under the till's identity: what they send waits."""
    values = {"device": till.device, "request_id": "twin", "opened_at": NOON, "acked_through": 0, "chain_hash": ""}
    centre.write(lambda c: c.execute(insert(tables.epochs).values(epoch="twin", **values)))


def released(centre: RunningCentre, till: Till) -> None:
    """One machine is left, and what waited for that is applied."""
    assert centre.write(lambda c: devices.release(c, till.device, centre.clock()))
    centre.apply_what_may()


def other(number: int, **facts: Any) -> Receipt:
    """The number of a receipt that is known, on one that says something else, and so is set aside."""
    return receipt(number, 50_00, **facts)


async def test_what_waits_of_others_stays_as_it_is_whatever_words_it_shares(centre: RunningCentre) -> None:
    # Given Ana, m1, with the card TS0001 and the short number 12; and entries of others that are set aside
    centre.write(lambda c: operations.link(c, "m1", "12", NOON))
    till = await centre.till()
    till.sale(receipt(1, code="TS0002"))
    till.sale(other(1, code="TS0002", lines=(Line(position=1, amount_minor=50_00, description="ANA P. TORTA"),)))
    till.sale(receipt(2, code="TS-0001"))
    till.sale(other(2, code="TS0002"))
    till.told("profile", ProfileBody(member="m2-later", fields={"note": told("Ana P. knows TS0001x")}))
    till.entry("levitate", "k", b'{"lane":"12","by":"Ana P.","code":"XTS0001","m1":12}')
    await till.send(1)
    before = waiting(centre)
    assert set(before) == {2, 4, 5, 6}

    centre.write(lambda c: operations.erase_member(c, "m1", NOON))

    # Then all of it waits as it was sent, body and all
    assert waiting(centre) == before
    entries = tables.entries
    rows = centre.read(lambda c: c.execute(select(entries).where(entries.c.digest.is_not(None))).all())
    assert [row.seq for row in rows] == [3]


async def test_sales_of_the_member_that_wait_stay_without_the_code_and_count(centre: RunningCentre) -> None:
    # Given sales on hold: by card, by telephone in another way of writing it, and of a register that knew her alone
    till = await centre.till()
    till.told("join", join(card=CARD))
    await till.send(1)
    on_hold(centre, till)
    till.sale(receipt(1, code="ts 77-001"))
    till.sale(receipt(2, member=MemberReference(code="00381 (64) 123-45-67", kind="phone", entry="typed")))
    till.sale(receipt(3, code="TS88888"), member="p-1")
    await till.send(2)

    centre.write(lambda c: operations.erase_member(c, "p-1", NOON))

    # Then they wait without what named her, and nothing is left of how they were sent
    kept = waiting(centre)
    bodies = {seq: msgspec.json.decode(entry.json, type=ReceiptBody) for seq, entry in kept.items()}
    assert list(bodies) == [2, 3, 4]
    assert {(body.member, body.receipt.member) for body in bodies.values()} == {("p-1", msgspec.UNSET)}
    assert not {entry.salt for entry in kept.values()} & {entry.salt for entry in till.sent}
    assert {row.body for row in centre.read(everything_sent)} == {b""}
    # And they count, once they may, for who is nobody now
    released(centre, till)
    assert centre.points("p-1") == 30
    assert {row.code for row in centre.read(lambda c: c.execute(tables.receipts.select()).all())} == {None}


async def test_what_tells_of_the_member_by_any_id_or_number_goes_and_waits_no_more(centre: RunningCentre) -> None:
    # Given entries on hold that are about her, and some of others that name her number
    till = await centre.till()
    till.told("join", join(card=CARD))
    await till.send(1)
    centre.write(lambda c: operations.merge_members(c, "p-1", "m1", "same person", NOON))
    on_hold(centre, till)
    consent = ConsentBody(member="p-1", channel="mail", state="granted", text_version="1", operator=NAME)
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE)}))
    till.told("consent", consent)
    till.told("alias", AliasBody(member="m1", code=ToldCode(kind="card", code="TS99001")))
    till.told("join", join("p-9", name=NAME, phone="0038164 1234567"))
    till.attach("some-receipt", CARD)
    till.entry("signal", "s", msgspec.json.encode(SignalBody(what="seen", member=MemberReference(code=CARD))))
    till.told("alias", AliasBody(member="m2", code=ToldCode(kind="card", code="ts77 001")))
    till.told("profile", ProfileBody(member="m2", fields={"note": told("tall"), "phone": told("00381641234567", 1)}))
    till.entry("redeem", "r", b'{"member":"p-1","points":5}')
    till.entry("levitate", "l", b'{"who":"ts77-001","tel":"call 00381 64 123-4567"}')
    await till.send(2)

    centre.write(lambda c: operations.erase_member(c, "m1", NOON))

    # Then nothing of it waits but what is told of another besides
    (rest,) = waiting(centre).values()
    assert msgspec.json.decode(rest.json, type=ProfileBody).fields.keys() == {"note"}
    rows = centre.read(lambda c: c.execute(tables.quarantine.select()).all())
    assert {row.resolved_as for row in rows if row.seq != rest.seq} == {"erased"}
    assert {row.body for row in centre.read(everything_sent)} == {b""}
    # And nobody is brought back by it
    released(centre, till)
    assert shown(centre, "m1").identifiers == ()
    assert shown(centre, "m2").note == "tall"


def everything_sent(connection: Connection) -> list[Any]:
    return list(connection.execute(select(tables.entries)).all())


async def test_a_number_that_names_somebody_else_since_stays_theirs(centre: RunningCentre) -> None:
    # Given a telephone number that was hers, and is m2's now; both bought with it
    till = await centre.till()
    by_phone = MemberReference(code=PHONE, kind="phone", entry="typed")
    till.told("join", join(card=CARD))
    till.sale(receipt(1, member=by_phone))
    till.told("profile", ProfileBody(member="p-1", fields={"phone": told("+38651000000", 1)}))
    till.told("profile", ProfileBody(member="m2", fields={"phone": told(PHONE, 2)}))
    till.sale(receipt(2, member=by_phone))
    await till.send(1)
    centre.clock.now = NOON + timedelta(hours=3)

    erase(centre)
    await till.sell(receipt(3, member=by_phone))

    assert (centre.points("p-1"), centre.points("m2")) == (10, 30)
    rows = centre.read(lambda c: c.execute(select(tables.receipts).where(tables.receipts.c.member == "m2")).all())
    assert [row.code is not None for row in rows] == [True, True]


# ---- what came, or can be read, only after the erasure


async def test_what_is_set_aside_after_the_erasure_names_nobody_and_is_not_lost(centre: RunningCentre) -> None:
    # Given an erased member, and a register on hold that was away meanwhile
    till = await lived(centre)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)
    on_hold(centre, till)
    first = len(till.sent) + 1
    till.sale(receipt(60, code=CARD), member="p-1")
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE, 2)}))
    till.attach("some-receipt", CARD)
    till.entry("signal", "s", msgspec.json.encode(SignalBody(what="seen", member=MemberReference(code=CARD))))
    outcomes = (await till.send(first)).outcomes

    # Then the sale alone waits, without the code, and no body is kept as it was sent
    assert [one.code for one in outcomes] == ["accepted"] * 4
    kept = waiting(centre)
    assert set(kept) == {first, 6}
    assert CARD not in kept[first].json.decode()
    assert {row.body for row in centre.read(everything_sent) if row.seq >= first} == {b""}
    # And it counts when it may
    released(centre, till)
    assert centre.points("p-1") == 30
    assert shown(centre, "p-1").note is msgspec.UNSET


async def test_what_contradicts_a_sale_after_the_erasure_still_waits_for_a_person(centre: RunningCentre) -> None:
    till = await lived(centre)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)

    (outcome,) = (await till.sell(other(1, code=CARD))).outcomes

    kept = msgspec.json.decode(waiting(centre)[outcome.seq].json, type=ReceiptBody)
    assert outcome.code == "quarantined"
    assert (kept.member, kept.receipt.member, kept.receipt.total_minor) == ("p-1", msgspec.UNSET, 50_00)


async def test_a_body_that_is_brought_after_the_erasure_names_nobody(centre: RunningCentre) -> None:
    # Given a sale and an edit of which the digests came, before their member was erased
    till = await lived(centre)
    first = len(till.sent) + 1
    sent = [
        till.sale(receipt(60, code=CARD)),
        till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE)})),
    ]
    till.sent[first - 1 :] = [entry.without_body() for entry in sent]
    await till.send(first)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)
    # When a person brings them
    items = {item.seq: item.id for item in centre.read(quarantine.listed).items}
    for entry in sent:
        document = msgspec.json.encode(quarantine.Body(salt=entry.salt or "", body=msgspec.Raw(entry.json)))
        bring = partial(quarantine.bring_body, item=items[entry.seq], document=document, now=NOON)
        assert centre.write(bring).applied == 1

    # Then the sale counts, and nothing of how they were written is kept
    assert centre.points("p-1") == 30
    rows = [row for row in centre.read(everything_sent) if row.seq >= first]
    assert [(row.body, row.digest) for row in rows] == [(b"", entry.body_digest.hex()) for entry in sent]
    table = tables.quarantine
    raws = centre.read(lambda c: c.execute(select(table.c.raw).where(table.c.seq >= first)).scalars().all())
    assert not [raw for raw in raws if CARD.encode() in raw or NOTE.encode() in raw]


async def test_another_history_names_no_erased_member_either(centre: RunningCentre) -> None:
    till = await lived(centre)
    centre.clock.now = NOON + timedelta(hours=3)
    erase(centre)
    # When a disk of before sends something else under numbers that are known
    till.sent, till.hashes = till.sent[:5], till.hashes[:5]
    till.sale(receipt(60, code=CARD))
    with pytest.raises(RefusedError, match="other content"):
        await till.send(6)

    (kept,) = [entry for entry in waiting(centre).values() if entry.key == till.sent[5].key]
    assert CARD not in kept.json.decode()


# ---- nobody brings them back


async def test_no_file_and_no_operator_brings_an_erased_member_back(centre: RunningCentre) -> None:
    await lived(centre)
    centre.write(lambda c: operations.import_stock(c, b"TS951\n", NOON))
    centre.write(lambda c: operations.merge_members(c, "m2", "p-1", "same person", NOON))
    erase(centre)

    for member in ("p-1", "m2"):
        document = msgspec.json.encode(
            {"members": [{"member": member, "short_name": NAME, "identifiers": [{"code": CARD}]}]}
        )
        with pytest.raises(members.MembersFileError, match=f"{member} was"):
            centre.write(partial(operations.import_file, document=document, now=NOON))
        with pytest.raises(members.UnknownMemberError, match="was erased"):
            centre.write(partial(operations.link, member=member, code=CARD, now=NOON))
        with pytest.raises(members.UnknownMemberError, match="was erased"):
            centre.write(partial(operations.issue, code="TS951", member=member, now=NOON))

    nobody = shown(centre, "p-1")
    assert (nobody.short_name, nobody.identifiers) == (msgspec.UNSET, ())


# ---- entries that are not the member's receipts, and yet tell of them


async def test_an_attach_under_a_code_that_was_hers_later_is_not_kept(centre: RunningCentre) -> None:
    # Given a receipt that an attach gave to a code that nobody had, which is hers since; and one of somebody else's
    till = await lived(centre)
    first = len(till.sent) + 1
    sold, others = receipt(7), receipt(8)
    till.sale(sold)
    till.attach(sold.key, "TS-88002")
    till.sale(others)
    till.attach(others.key, "TS0001")
    till.attach(others.key, "TS-88002")
    await till.send(first)
    centre.write(lambda c: operations.link(c, "p-1", "ts88002", NOON))
    assert centre.points("p-1") == 30
    # And all that since before the centre noted such entries
    centre.database.downgrade("0015")
    centre.database.upgrade()

    erase(centre)

    bodies = {row.seq - first: row.body for row in centre.read(everything_sent) if row.seq >= first}
    assert [number for number, body in bodies.items() if body == b""] == [0, 1, 4]
    assert (centre.points("p-1"), centre.points("m1")) == (30, 20)


async def test_an_attach_that_never_had_an_effect_is_not_kept_either(centre: RunningCentre) -> None:
    # Given receipts that came with a code of their own, or were given to somebody else, when hers waited for them
    till = await lived(centre)
    first = len(till.sent) + 1
    own, given = receipt(7, code="TS0001"), receipt(8)
    for sold in (own, given):
        till.attach(sold.key, CARD)
    till.attach(given.key, "TS0001")
    till.sale(own)
    till.sale(given)
    till.sale(own)
    await till.send(first)
    assert (centre.points("p-1"), centre.points("m1")) == (20, 30)

    erase(centre)

    bodies = {row.seq - first: row.body for row in centre.read(everything_sent) if row.seq >= first}
    assert [number for number, body in bodies.items() if body == b""] == [0, 1]
    assert centre.points("m1") == 30


async def test_a_backup_of_before_a_merge_does_not_bring_half_of_the_member_back(centre: RunningCentre) -> None:
    # Given a database in which p-1 and m1 are two, as before they were merged and erased as one
    till = await lived(centre)
    till.sale(receipt(9, code="TS-88003"))
    await till.send(len(till.sent))
    await till.changes()
    key = centre.read(cards.code_key)
    codes = tuple(hidden_code(code, key) for code in (CARD, "TS0001", "TS88003"))
    fact = Erased(at=NOON, number=1, member="m1", aliases=("p-1", "p-late"), codes=codes)
    # When the journal is brought in, and once more
    for _ in range(2):
        centre.write(partial(replay, facts=(fact,)))

    # Then they are one, who has the points of both, and nothing tells who it was
    nobody = shown(centre, "p-1")
    assert (nobody.member, nobody.aliases) == ("m1", ("p-1", "p-late"))
    assert (nobody.short_name, nobody.identifiers, nobody.note) == (msgspec.UNSET, (), msgspec.UNSET)
    assert centre.points("m1") == 40
    fed = centre.read(lambda c: c.execute(select(tables.feed).where(tables.feed.c.member.in_(("m1", "p-1")))).all())
    assert {row.row for row in fed} == {b""}
    # And what was kept under a code that became hers after the backup is theirs, without it
    bought = centre.read(lambda c: c.execute(tables.receipts.select()).all())
    assert {(row.member, row.code, b"88003" in row.body) for row in bought} == {("m1", None, False)}
    # And who sends something of the other half brings nothing back
    till.told("profile", ProfileBody(member="p-1", fields={"note": told(NOTE, 2)}))
    (outcome,) = (await till.send(len(till.sent))).outcomes
    assert (outcome.code, outcome.detail) == ("accepted", "the member was erased; nothing of this was kept")
