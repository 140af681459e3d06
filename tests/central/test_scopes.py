"""What a store's registers hold: who comes in, who falls out, and that a cursor skips nobody meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientWebSocketResponse
from sqlalchemy import Connection, event, select

from central import enrolling, feed, operations, scopes
from central.db import tables
from central.db.database import Database
from central.device_api import pinned
from central.folder import DataFolder
from central.scopes import ALL_STORES, EVERYTHING, WHOLE, Policy, Scope
from sync.store.fed import fed
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, ChangesResponse, EnrolRequest, Facts, LiveHint
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, receipt
from tests.sync.store.samples import opened

HERE, THERE = "12", "14"
SEEN = Policy(hold="seen", months=12)
MONTH = timedelta(days=31)
PEOPLE = tuple(f"p{number}" for number in range(12))


class Stores:
    """A centre's database whose clock goes on as the test says, with two stores and some members."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOON
        self.write(lambda c: scopes.set_policy(c, ALL_STORES, SEEN, NOON))
        for store in (HERE, THERE):
            self.write(partial(_enrol, store=store))
        self.import_members(*({"member": member, "identifiers": [{"code": f"C{member}"}]} for member in PEOPLE))
        self.place()

    def write(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.write_now(work)

    def read(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.read_now(work)

    def import_members(self, *rows: dict[str, Any]) -> None:
        document = msgspec.json.encode({"members": rows})
        self.write(lambda c: operations.import_file(c, document, self.now))

    def seen(self, store: str, *who: str) -> None:
        self.write(lambda c: scopes.seen(c, store, who, self.now))

    def pin(self, store: str, member: str) -> None:
        self.write(lambda c: scopes.pin(c, store, member, self.now))

    def change(self, member: str) -> None:
        self.write(lambda c: feed.note_changes(c, [member], self.now))

    def let_go(self) -> int:
        return int(self.write(lambda c: scopes.let_go(c, self.now)))

    def place(self) -> None:
        while self.write(lambda c: feed.place_changes(c, self.now)).more:
            pass

    def scope(self, store: str) -> Scope:
        found: Scope = self.read(lambda c: scopes.scope_of(c, store))
        return found

    def changes(self, store: str, after: int, limit: int = 1000) -> ChangesResponse:
        """As a register reads them."""
        fed = self.read(lambda c: feed.changes_after(c, after, limit, self.now, scopes.scope_of(c, store)))
        return msgspec.json.decode(msgspec.json.encode(fed), type=ChangesResponse)

    def plans(self, work: Callable[[Connection], Any], question: str) -> list[str]:
        """How the database finds the rows of each such question that the work asks of it."""

        def planned(connection: Connection) -> list[str]:
            asked: list[tuple[str, Any]] = []
            event.listen(connection, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
            work(connection)
            sqlite = connection.dialect.name == "sqlite"
            if not sqlite:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a dozen rows are read whole else
            explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
            return [
                str(connection.exec_driver_sql(f"{explain} {statement}", values).all())
                for statement, values in asked
                if statement.startswith(question)
            ]

        found: list[str] = self.write(planned)
        return found

    def held(self, store: str) -> dict[str, int]:
        """Who is in a store's scope as placed, with the position there."""

        def work(connection: Connection) -> dict[str, int]:
            rows: list[Any] = []
            while page := feed.rows_page(connection, rows[-1].member if rows else "", 5, self.scope(store)):
                rows += page
            return {row.member: row.pos for row in rows}

        held: dict[str, int] = self.read(work)
        return held


def _enrol(connection: Connection, store: str) -> str:
    enrolling.create_enrolment(
        connection, token=store, store=store, register="1", valid_for=timedelta(hours=1), now=NOON
    )
    request = EnrolRequest(token=store, public_key="k" * 43, facts=Facts(version="0.1.0", platform="test"))
    return enrolling.enrol(
        connection, request, now=NOON, randomness=lambda count: store.encode().ljust(count, b"0")
    ).device.id


@pytest.fixture
def stores(data: Path) -> Any:
    database = Database(DataFolder(data).database)
    yield Stores(database)
    database.close()


# -- who is in -------------------------------------------------------------------------------------


def test_what_concerns_other_stores_is_no_news_but_for_who_is_far_behind(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_news(store: str, after: int) -> bool:
        return bool(stores.read(lambda c: feed.has_news(c, after, scopes.scope_of(c, store))))

    # Given a member whom one of two stores holds
    stores.seen(HERE, "p1")
    stores.place()
    newest = stores.read(feed.feed_position)
    assert not has_news(HERE, newest)
    # When something changes of her
    stores.change("p1")
    stores.place()
    # Then that is news there alone
    assert (has_news(HERE, newest), has_news(THERE, newest)) == (True, False)
    # And who is further behind than is looked through has to look
    monkeypatch.setattr(feed, "SPAN", 0)
    assert (has_news(THERE, newest), has_news(THERE, newest + 1)) == (True, False)


def test_a_store_holds_whom_it_saw_and_nobody_else(stores: Stores) -> None:
    stores.seen(HERE, "p1", "p2")
    stores.seen(THERE, "p2")
    stores.place()

    assert set(stores.held(HERE)) == {"p1", "p2"}
    assert set(stores.held(THERE)) == {"p2"}
    assert {change.member for change in stores.changes(HERE, 0).changes} == {"p1", "p2"}


def test_who_is_seen_comes_into_the_feed_though_the_row_is_older_than_the_cursor(stores: Stores) -> None:
    cursor = stores.changes(HERE, 0).next

    stores.seen(HERE, "p1")
    stores.place()

    [change] = stores.changes(HERE, cursor).changes
    assert (change.op, change.member, change.pos) == ("upsert", "p1", cursor + 1)
    assert stores.changes(THERE, cursor).changes == ()
    assert stores.changes(THERE, cursor).next == cursor + 1


def test_who_was_not_seen_for_a_year_leaves_and_comes_back_at_the_next_visit(stores: Stores) -> None:
    stores.seen(HERE, "p1", "p2")
    stores.now += 6 * MONTH
    stores.seen(HERE, "p2")
    stores.place()
    cursor = stores.changes(HERE, 0).next

    stores.now = NOON + timedelta(days=366)
    assert stores.let_go() == 1
    assert stores.let_go() == 0
    stores.place()

    left = stores.changes(HERE, cursor)
    assert [(change.op, change.member) for change in left.changes] == [("leave", "p1")]
    assert set(stores.held(HERE)) == {"p2"}
    # And a change of the member meanwhile is nothing to this store
    stores.change("p1")
    stores.place()
    assert stores.changes(HERE, left.next).changes == ()
    stores.seen(HERE, "p1")
    stores.place()
    assert [change.op for change in stores.changes(HERE, left.next).changes] == ["upsert"]


def test_who_is_to_leave_is_found_without_looking_at_all_who_stay(stores: Stores) -> None:
    stores.seen(HERE, *PEOPLE)

    asked_for, unseen, *_ = stores.plans(lambda c: scopes.let_go(c, stores.now), "SELECT scope_members")

    assert "ix_scope_members_pinned" in asked_for
    assert "ix_scope_members_seen" in unseen


def test_a_change_is_looked_for_among_whom_a_store_holds_and_not_each_of_these_among_all(stores: Stores) -> None:
    stores.seen(HERE, *PEOPLE)
    stores.place()

    [changed] = stores.plans(lambda c: feed.changes_after(c, 0, 10, NOON, scopes.scope_of(c, HERE)), "SELECT feed.pos")

    assert "Join" not in changed
    assert "pk_scope_members on" in changed or "sqlite_autoindex_scope_members_1 (store=? AND member=?)" in changed


def test_a_pin_lasts_a_month_and_a_visit_makes_more_of_it(stores: Stores) -> None:
    stores.pin(HERE, "p1")
    stores.pin(HERE, "p2")
    stores.seen(HERE, "p2")
    stores.place()
    assert set(stores.held(HERE)) == {"p1", "p2"}

    stores.now += scopes.PINNED_FOR + timedelta(days=1)
    assert stores.let_go() == 1
    stores.place()

    assert set(stores.held(HERE)) == {"p2"}


def test_who_is_erased_or_merged_while_they_are_asked_for_is_not_pinned(stores: Stores) -> None:
    # Given members whom a register found by their codes
    stores.write(lambda c: operations.merge_members(c, "p2", "p3", "one person", NOON))
    stores.write(lambda c: operations.erase_member(c, "p1", NOON))
    # When they are to be held at its store only now
    for member in ("p1", "p2", "p3"):
        stores.write(partial(pinned, store=HERE, member=member, now=NOON))
    stores.place()
    # Then nothing is kept of where those were who are no more
    assert set(stores.held(HERE)) == {"p3"}
    assert stores.read(lambda c: scopes.stores_holding(c, ["p1", "p2"])) == set()


def test_of_too_many_pins_the_oldest_go(stores: Stores) -> None:
    old = [f"x{number:04}" for number in range(scopes.MAX_PINS)]

    def pin_all(connection: Connection) -> None:
        moments = (NOON + timedelta(seconds=place) for place in range(len(old)))
        rows = [{"store": HERE, "member": x, "pinned_at": at, "held": 1} for x, at in zip(old, moments, strict=True)]
        connection.execute(tables.scope_members.insert(), rows)

    stores.seen(HERE, "p1")
    stores.write(pin_all)
    stores.now += timedelta(hours=1)
    stores.pin(HERE, "p2")
    stores.pin(HERE, "p3")

    columns = tables.scope_members.c
    held = stores.read(lambda c: c.execute(select(columns.member).where(columns.held == 1)).scalars().all())
    assert set(held) == {"p1", "p2", "p3", *old[2:]}


def test_a_card_that_finds_its_member_late_brings_them_to_the_stores_where_it_was_used(stores: Stores) -> None:
    # Given a receipt of store 12 with a card that nobody has
    sold = receipt(1, code="LATE")

    def book(connection: Connection) -> None:
        device = connection.execute(select(tables.devices.c.id).where(tables.devices.c.store == HERE)).scalar_one()
        values: dict[str, Any] = {"kind": "sale", "status": "final", "currency": "RSD", "total_minor": 1}
        connection.execute(
            tables.receipts.insert().values(
                key=sold.key,
                device=device,
                body=msgspec.json.encode(sold),
                code="LATE",
                claims=b"[]",
                knew_member=0,
                state="no_member",
                received_at=NOON,
                **values,
            )
        )

    stores.write(book)
    # When it is linked
    stores.write(lambda c: operations.link(c, "p3", "LATE", stores.now))
    stores.place()
    # Then the store holds its member
    assert set(stores.held(HERE)) == {"p3"}


def test_an_import_may_name_the_stores_that_a_member_comes_to(stores: Stores) -> None:
    stores.import_members({"member": "p1", "stores": [HERE, THERE]}, {"member": "new", "stores": [THERE]})
    stores.place()

    assert set(stores.held(HERE)) == {"p1"}
    assert set(stores.held(THERE)) == {"p1", "new"}


def test_who_becomes_another_member_is_held_as_that_one(stores: Stores) -> None:
    stores.seen(HERE, "p1")
    stores.pin(THERE, "p1")
    stores.seen(THERE, "p2")
    stores.place()
    cursor = stores.changes(HERE, 0).next

    stores.write(lambda c: operations.merge_members(c, "p1", "p2", "the same person", stores.now))
    stores.place()

    assert set(stores.held(HERE)) == set(stores.held(THERE)) == {"p2"}
    told = {change.member: change.op for change in stores.changes(HERE, cursor).changes}
    assert told == {"p1": "leave", "p2": "upsert"}


def test_who_is_erased_is_told_to_every_store_and_was_seen_nowhere(stores: Stores) -> None:
    stores.seen(HERE, "p1")
    stores.place()
    cursor = stores.changes(THERE, 0).next

    stores.write(lambda c: operations.erase_member(c, "p1", stores.now))
    stores.place()

    for store in (HERE, THERE):
        assert [(change.op, change.member) for change in stores.changes(store, cursor).changes] == [("erase", "p1")]
        assert stores.held(store) == {}
    assert stores.read(lambda c: c.execute(select(tables.scope_members)).all()) == []


# -- policies --------------------------------------------------------------------------------------


def test_a_store_may_hold_everything_and_another_name_says_so(stores: Stores) -> None:
    before = stores.scope(HERE)
    stores.write(lambda c: scopes.set_policy(c, HERE, EVERYTHING, stores.now))

    assert stores.scope(HERE) == WHOLE
    assert stores.scope(THERE).name != before.name
    assert set(PEOPLE) <= set(stores.held(HERE))

    stores.write(lambda c: scopes.set_policy(c, HERE, None, stores.now))
    assert stores.scope(HERE) == before


def test_a_wider_policy_lets_in_again_whom_the_narrow_one_let_go(stores: Stores) -> None:
    stores.seen(HERE, "p1")
    stores.now += 2 * MONTH
    stores.write(lambda c: scopes.set_policy(c, HERE, Policy(hold="seen", months=1), stores.now))
    stores.let_go()
    stores.place()
    assert stores.held(HERE) == {}

    stores.write(lambda c: scopes.set_policy(c, ALL_STORES, Policy(hold="seen", months=24), stores.now))
    stores.write(lambda c: scopes.set_policy(c, HERE, None, stores.now))
    stores.place()

    assert set(stores.held(HERE)) == {"p1"}


# -- snapshot and changes are the whole scope ------------------------------------------------------


def test_whatever_a_scope_does_snapshot_and_changes_give_all_of_it(stores: Stores, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    store = opened(tmp_path / "till")
    fresh = opened(tmp_path / "fresh")
    try:
        cursor = _began(stores, store)
        for _ in range(40):
            for _ in range(chance.randrange(6)):
                _something(stores, chance)
            if chance.random() < 0.7:
                stores.place()
            while chance.random() < 0.6:
                page = stores.changes(HERE, cursor, limit=chance.randrange(1, 5))
                _apply(store, page.changes, page.next)
                cursor = page.next
            if chance.random() < 0.1:
                cursor = _began(stores, store)
        # When all is placed and pulled
        stores.place()
        while (page := stores.changes(HERE, cursor, limit=3)).next > cursor or page.more:
            _apply(store, page.changes, page.next)
            cursor = page.next
        # Then the register holds exactly the scope, each at its place, as one does that begins now
        expected = stores.held(HERE)
        _began(stores, fresh, going_on=False)
        for one in (store, fresh):
            assert {member: one.member_pos(member) for member in PEOPLE if one.member(member)} == expected
        assert [store.member(member) for member in expected] == [fresh.member(member) for member in expected]
        assert store.feed().position == stores.read(feed.feed_position)
    finally:
        store.close()
        fresh.close()


def _something(stores: Stores, chance: random.Random) -> None:
    stores.now += timedelta(days=chance.choice([0, 0, 1, 20]))
    member, store = chance.choice(PEOPLE), chance.choice([HERE, HERE, THERE])
    match chance.randrange(6):
        case 0:
            stores.pin(store, member)
        case 1 | 2:
            stores.seen(store, *chance.sample(PEOPLE, 2))
        case 3:
            stores.import_members({"member": member, "short_name": f"N {chance.random()}"})
        case 4:
            stores.let_go()
        case _:
            stores.change(member)


def _began(stores: Stores, store: Store, *, going_on: bool = True) -> int:
    """Take a snapshot as a register does, while the centre may go on between its chunks."""
    scope = stores.scope(HERE)
    as_of = int(stores.read(feed.feed_position))
    store.submit(Writing.begin_snapshot).result()
    after = ""
    while page := stores.read(partial(feed.rows_page, after_member=after, limit=4, scope=scope)):
        after = page[-1].member
        lines = msgspec.json.Encoder().encode_lines(page)
        rows = msgspec.json.Decoder(Change).decode_lines(lines)
        store.submit(partial(Writing.apply_snapshot, rows=[fed(row) for row in rows])).result()
        if going_on:
            stores.seen(HERE, PEOPLE[len(page)])
            stores.change(PEOPLE[-len(page)])
            stores.place()
    swept: int | None = 0
    while swept is not None:
        swept = store.submit(partial(Writing.sweep_snapshot, after=swept)).result()
    finish = partial(Writing.finish_snapshot, centre_epoch="c", position=as_of, as_of=NOON, scope=scope.name)
    store.submit(finish).result()
    return as_of


def _apply(store: Store, changes: tuple[Change, ...], through: int) -> None:
    store.submit(lambda writing: writing.apply_changes(changes, through, NOON)).result()


# -- over the wire ---------------------------------------------------------------------------------


@pytest.fixture
def scoped(centre: RunningCentre) -> RunningCentre:
    centre.write(lambda c: scopes.set_policy(c, ALL_STORES, SEEN, NOON))
    return centre


async def test_a_receipt_brings_its_member_to_the_registers_of_the_store(scoped: RunningCentre) -> None:
    till, other = await scoped.till("3"), await scoped.till("4")
    cursor = (await other.changes()).next

    answer = await till.sell(receipt(1, code="TS0001"))

    [change] = (await other.changes(after=cursor)).changes
    assert change.member == "m1"
    assert change.row
    assert change.row.balance.confirmed == 10
    # And the outcome's position is one that the feed comes to
    assert answer.outcomes[0].pos == change.pos


async def test_who_is_asked_for_is_in_the_feed_from_then_on(scoped: RunningCentre) -> None:
    till, other = await scoped.till("3"), await scoped.till("4")
    cursor = (await other.changes()).next

    status, body = await till.request("GET", "/v1/members/TS0002", b"")

    assert status == 200
    asked = msgspec.json.decode(body)
    [change] = (await other.changes(after=cursor)).changes
    assert (change.member, change.pos) == ("m2", asked["pos"])
    # And once more it is the same
    assert (await till.request("GET", "/v1/members/TS0002", b""))[1] == body


async def test_a_register_that_holds_another_scope_takes_a_snapshot(scoped: RunningCentre) -> None:
    till = await scoped.till()
    snapshot = await till.snapshot()
    path = f"/v1/changes?after={snapshot.as_of}&scope={snapshot.scope}"
    assert (await till.request("GET", path, b""))[0] == 200
    assert (await till.heartbeat()).scope == snapshot.scope

    scoped.write(lambda c: scopes.set_policy(c, "12", EVERYTHING, NOON))

    status, problem = await till.request("GET", path, b"")
    assert status == 410
    assert msgspec.json.decode(problem)["type"] == "urn:tillside:problem:snapshot-needed"
    assert (await till.heartbeat()).scope == (await till.snapshot()).scope == "everything"
    # And the chunks of the other scope are nobody's any more
    for chunk in snapshot.chunks:
        assert (await till.request("GET", chunk.url, b""))[0] == 410


async def test_only_registers_whose_feed_it_is_about_are_woken(scoped: RunningCentre) -> None:
    # Given a register that holds a member, and one of another store that holds everything
    till = await scoped.till()
    await till.sell(receipt(1, code="TS0001"))
    scoped.write(lambda c: scopes.set_policy(c, THERE, EVERYTHING, NOON))
    socket, everything = await till.live(), await (await scoped.till(store=THERE)).live()
    first = await _hint(socket, 1)

    # When something happens to somebody whom nobody holds, and then to that member
    for place, member in enumerate(("m3", "m1"), start=1):
        scoped.write(lambda c, member=member: feed.note_changes(c, [member], NOON))  # type: ignore[misc]
        await _hint(everything, first + place)

    # Then the first hint is of the second
    assert await _hint(socket, 1) == first + 2
    await socket.close()
    await everything.close()


async def _hint(socket: ClientWebSocketResponse, pos: int) -> int:
    """The position of the next hint that is so far."""
    async with asyncio.timeout(10):
        while (hint := msgspec.json.decode((await socket.receive()).data, type=LiveHint).feed or 0) < pos:
            pass
    return hint
