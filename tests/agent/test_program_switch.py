"""Programs at a register that sells: one that switches at its time, and those that cannot be used here."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, insert, select, update

from agent.booking import Rules, book
from agent.store_inspection import Live, StoreInspection
from agent.view import BadgeView, PlaceView
from central import operations
from central.db import tables
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.program import Program, program_hash
from loyalty.receipt import Line, MemberReference, Receipt
from sync import base64url
from sync.store.store import Store
from sync.wire import HeldProgram, SignedProgram
from tests.agent.shop import Shop
from tests.sync.centre import QUICK_HEARTBEAT_S, Centre, Register, program, register, running_centre, utc_now
from tests.sync.programs import in_force

CARD, BOOT = "TS00001", "boot"
ONE_POINT, FIVE_POINTS = program(1), program(5)
HOUR = timedelta(hours=1)
COUNT = itertools.count(1)


async def points_of(store: Store, rules: Rules, issued_at: datetime) -> int:
    """Books a sale of 10.00; what it claims. A sale is booked whatever its program is."""
    sale = identified(
        Receipt(
            key="",
            kind="sale",
            store="12",
            register="3",
            number=str(next(COUNT)),
            business_day=issued_at.date(),
            issued_at=issued_at,
            currency="RSD",
            total_minor=10_00,
            lines=(Line(position=1, amount_minor=10_00),),
            member=MemberReference(code=CARD),
        ),
        b"",
    )
    captured = Instant(wall=utc_now(), boot=BOOT, monotonic_ns=next(COUNT))
    booked = await store.write(lambda writing: book(writing, sale, captured, boot=BOOT, rules=rules))
    assert booked.fate == "booked"
    known = store.known_receipt((sale.key,))
    assert known is not None
    return sum(claim.points for claim in known.claims)


def publish(centre: Centre, published: Program, valid_from: datetime | None = None) -> str:
    key = centre.folder.program_key()
    return str(centre.write(lambda c: operations.publish(c, published, key, utc_now(), valid_from)))


def publish_document(centre: Centre, document: bytes, valid_from: datetime, signature: str | None = None) -> str:
    """What a centre of a later version, or a damaged one, might have in force."""
    signed = signature or base64url.encoded(centre.folder.program_key().sign(document))
    name = msgspec.json.decode(document)["program"] * 64

    def work(connection: Connection) -> None:
        values = {"program": name, "published_at": utc_now(), "valid_from": valid_from}
        connection.execute(insert(tables.programs).values(hash=name, document=document, signature=signed))
        connection.execute(insert(tables.publications).values(values))

    centre.write(work)
    return str(name)


def take_back(centre: Centre, name: str) -> None:
    """Such a centre could go on with it; this one, of the register's version, cannot."""
    rows = tables.publications
    centre.write(lambda c: c.execute(update(rows).where(rows.c.program == name).values(withdrawn_at=utc_now())))


def told(centre: Centre) -> tuple[HeldProgram, ...]:
    """What the centre knows of the register's programs."""
    text = centre.database.read_now(lambda c: c.execute(select(tables.devices.c.programs)).scalar_one())
    return msgspec.json.decode(text, type=tuple[HeldProgram, ...])


def stopped(till: Register) -> StoreInspection:
    """What `status` says of this store where no agent runs."""
    badge = BadgeView(enrolled=True, online=False, since=None, queued=0)
    live = Live(running=False, place=PlaceView(store="12", register="3"), badge=badge, page="")
    return StoreInspection(till.store, lambda: live)


async def test_a_register_switches_at_the_named_time_without_a_network(tmp_path: Path) -> None:
    switch = utc_now() + HOUR
    async with running_centre(tmp_path / "centre") as centre:
        later = publish(centre, FIVE_POINTS, switch)
        async with register(tmp_path / "till", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till:
            # Given a register that got the program of the next hour ahead
            await till.until(lambda: till.store.held_programs() == {program_hash(ONE_POINT), later})
            await till.until(lambda: till.store.member_by_code(CARD))
            status = stopped(till).status()
            assert status.program == program_hash(ONE_POINT)
            assert [(one.hash, one.valid_from, one.held) for one in status.programs] == [
                (program_hash(ONE_POINT), None, True),
                (later, switch, True),
            ]
            # And the centre hears that it is there
            await till.until(lambda: {one.program for one in told(centre)} == till.store.held_programs())

        # When there is no network any more
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            rules = Rules()
            # Then each receipt is judged by its own time, in whichever order they are booked
            assert await points_of(till.store, rules, switch) == 50
            assert await points_of(till.store, rules, switch - timedelta(minutes=1)) == 10
            assert await points_of(till.store, rules, switch + 24 * HOUR) == 50


UNREADABLE = [
    pytest.param(b'{"program":"b","currency":"RSD","earn":[],"magic":true}', None, "update the register", id="newer"),
    pytest.param(b'{"program":"c","currency":"RSD","earn":[]}', "AAAA", "not signed", id="signature"),
    pytest.param(b'{"program":"d","currency":"RSD","earn":[]}', None, "another program", id="damaged"),
]


@pytest.mark.parametrize(("document", "signature", "words"), UNREADABLE)
async def test_a_program_that_cannot_be_used_alarms_and_the_old_one_sells_on_until_a_good_one_comes(
    tmp_path: Path, document: bytes, signature: str | None, words: str
) -> None:
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "till", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till,
    ):
        await till.until(lambda: in_force(till.store) and till.store.member_by_code(CARD))

        # Given one that is in force at the centre, and not usable at the register
        bad = publish_document(centre, document, utc_now(), signature)
        await till.until(lambda: till.loop.state.problems)

        # Then it is told at the register, now and without an agent, and the old one gives points
        [problem] = till.loop.state.problems
        assert (problem.code, words in problem.detail) == ("program_unusable", True)
        status = stopped(till).status()
        assert status.program == program_hash(ONE_POINT)
        assert any(words in reason for reason in status.reasons)
        assert await points_of(till.store, Rules(), utc_now()) == 10
        # And at the centre, with the next heartbeat
        await till.until(lambda: len(told(centre)) == 2)
        assert {one.program: words in (one.refused or "") for one in told(centre)} == {
            program_hash(ONE_POINT): False,
            bad: True,
        }

        # When a good one comes in its place
        take_back(centre, bad)
        good = publish(centre, FIVE_POINTS)
        await till.until(lambda: in_force(till.store) == good)

        # Then the register goes by it
        assert await points_of(till.store, Rules(), utc_now()) == 50


async def test_a_bad_program_keeps_none_of_the_others_away(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        good = publish(centre, FIVE_POINTS, utc_now() + 2 * HOUR)
        bad = publish_document(centre, UNREADABLE[0].values[0], utc_now() + HOUR)  # type: ignore[arg-type]
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: good in till.store.held_programs() and till.loop.state.problems)
            assert till.store.held_programs() == {program_hash(ONE_POINT), good}
            assert [one.hash for one in stopped(till).status().programs if one.refused] == [bad]


async def test_a_kept_program_that_this_version_cannot_read_gives_way_to_the_one_before(shop: Shop) -> None:
    # Given a register that went back to a version for which the newest program has a key too many
    await shop.seed()
    newer = SignedProgram(hash="e" * 64, program='{"magic":true}', signature="")
    before = in_force(shop.store)
    schedule = f'{{"schedule":[{{"program":"{before}"}},{{"program":"{newer.hash}"}}],"refused":{{}}}}'
    await shop.store.write(lambda writing: writing.keep_program(newer))
    await shop.store.write(lambda writing: writing.set_meta("programs", schedule))

    # When it sells
    rules = shop.rules
    assert await shop.store.write(lambda writing: rules.at(writing, _issued(utc_now()))) is not None

    # Then by the one before; the other is refused, and no longer held, so that the centre is asked for it again
    assert shop.store.held_programs() == {before}
    status = StoreInspection(shop.store, stopped_live).status()
    assert any("cannot read the program that was kept" in reason for reason in status.reasons)


def stopped_live() -> Live:
    badge = BadgeView(enrolled=True, online=False, since=None, queued=0)
    return Live(running=False, place=PlaceView(store="12", register="3"), badge=badge, page="")


def _issued(at: datetime) -> Receipt:
    return Receipt(key="k", kind="sale", currency="RSD", total_minor=1, issued_at=at)
