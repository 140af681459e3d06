"""Register and centre over real sockets: the way in, both directions, and networks that go wrong."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, insert, select

from central import devices, operations, quarantine
from central.backups import back_up, restore
from central.certificates import server_context
from central.db import tables
from central.folder import DataFolder
from loyalty.identity import identified
from loyalty.instant import Instant
from loyalty.program import program_hash
from loyalty.receipt import Line
from sync import base64url
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import keeper_for
from sync.loop import LookedUp
from sync.session import HEARTBEAT_S
from sync.store.purge_rows import ERASURES_THROUGH
from sync.store.salvage import salvage
from sync.store.sqlite import PAGE_BYTES
from sync.store.writing import Writing
from sync.wire import IngestRequest, decompress
from tests.faults.figures import Tell
from tests.faults.http_proxy import Fate, HttpFaultProxy
from tests.faults.proxy import FINE, REFUSED, Fault, FaultyProxy
from tests.sync.centre import (
    DAY,
    FACTS,
    Centre,
    Register,
    program,
    receipt,
    register,
    running_centre,
    seed_of_this_run,
    serving,
    utc_now,
)
from tests.sync.programs import in_force

CARD, MEMBER = "TS00001", "m1"
# Through exchanges that go wrong, with a centre on either database.
TRANSACTIONS, TRANSACTIONS_ON_POSTGRESQL = 300, 90


async def up_to_date(till: Register) -> None:
    await till.until(lambda: till.store.queued() == 0 and till.loop.state.queued == 0)


async def known(till: Register, code: str = CARD) -> None:
    await till.until(lambda: till.store.member_by_code(code))


async def nothing_to_say(till: Register) -> None:
    """Online, with every exchange made that was due."""
    contact = None
    while not till.loop.state.online or till.loop.state.last_contact != contact:
        contact = till.loop.state.last_contact
        await asyncio.sleep(0.3)


def set_aside(centre: Centre) -> list[tuple[str, int]]:
    """Reason and number of the entries that wait for a person."""
    return [(item.reason, item.seq) for item in centre.database.read_now(quarantine.listed).items]


def expected(count: int, points: int = 100) -> dict[str, int]:
    return {receipt(number, CARD).key: points for number in range(1, count + 1)}


# -- the way in, up and down -----------------------------------------------------------------------


async def test_a_new_register_gets_members_program_and_an_honest_badge(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre", members=20) as centre, register(tmp_path / "till", centre) as till:
        await till.until(lambda: in_force(till.store) and till.store.count_members() == 20)

        assert in_force(till.store) == program_hash(program())
        await till.until(lambda: till.loop.state.online)
        assert till.states[0].online is False
        assert till.loop.state.last_contact is not None
        assert till.loop.state.problems == ()


async def test_a_receipt_goes_up_at_once_and_its_points_come_back(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)

        await till.sell(receipt(1, CARD, 250_00))
        await up_to_date(till)
        await till.until(lambda: till.confirmed(CARD) == 250)

        assert centre.counted(MEMBER) == {receipt(1, CARD).key: 250}


async def test_a_change_at_the_centre_is_here_before_the_next_heartbeat(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)

        async with asyncio.timeout(HEARTBEAT_S / 2):
            centre.add_members(100, 1)
            await known(till, "TS00100")


async def test_whom_the_feed_tells_first_to_be_erased_is_found_on_paper(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)
        # Given a paper that nobody could read, with the number of a card that no receipt names
        paper = await till.store.write(
            lambda writing: writing.quarantine("printer", "unreadable", "", b"CARD TS-00001\nTHANKS M 1")
        )

        # When its member is erased, which the feed tells at once
        async with asyncio.timeout(HEARTBEAT_S / 2):
            centre.write(lambda connection: operations.erase_member(connection, "m1", utc_now()))
            await till.until(lambda: till.store.meta(ERASURES_THROUGH) == "1")

        assert till.store.quarantined_raw(paper) == b"CARD ********\nTHANKS M 1"
        assert till.store.member("m1") is None


async def test_a_member_that_is_not_here_is_asked_for(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)

        found = await till.loop.lookup("ts-00002")
        assert found.member is not None
        assert found.member.member == "m2"
        assert await till.loop.lookup("nobody") == LookedUp()


async def test_of_a_card_in_the_drawer_the_centre_says_that_it_is_there(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)
        centre.write(lambda connection: operations.import_stock(connection, b"NEW1,9001\nNEW2\n", utc_now()))
        centre.write(lambda connection: operations.block(connection, "NEW2", "", utc_now()))

        assert await till.loop.lookup("9001") == LookedUp(card="unissued")
        assert await till.loop.lookup("new-2") == LookedUp(card="blocked")


async def test_what_becomes_of_a_card_is_known_here_before_the_next_heartbeat(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)

        def state_of(code: str) -> str | None:
            member = till.store.member_by_code(code)
            found = member.identifier(code) if member is not None else None
            return found.state if found is not None else None

        async with asyncio.timeout(HEARTBEAT_S / 2):
            centre.write(lambda connection: operations.link(connection, "m1", CARD, utc_now(), printed="9001"))
            await till.until(lambda: state_of("9001") == "active")
            centre.write(lambda connection: operations.block(connection, "9001", "lost", utc_now()))
            await till.until(lambda: state_of(CARD) == state_of("9001") == "blocked")
            centre.write(lambda connection: operations.unblock(connection, CARD, utc_now()))
            await till.until(lambda: state_of("9001") == "active")
            centre.write(lambda connection: operations.replace(connection, CARD, "NEW1", utc_now()))
            await till.until(lambda: (state_of("9001"), state_of("NEW1")) == ("replaced", "active"))
        # And the printed number finds the member
        assert [member.member for member in till.store.find_members("90")] == ["m1"]


async def test_what_an_offline_register_took_for_a_blocked_card_is_held_and_right_in_the_end(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        # Given a register that lost the network before the card was blocked, and sold on
        async with register(tmp_path / "till", centre) as till:
            await known(till)
        blocked_at = DAY + timedelta(minutes=2, seconds=30)
        centre.write(lambda connection: operations.block(connection, CARD, "lost", blocked_at))
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            for number in (1, 2, 3, 4):
                await till.sell(receipt(number, CARD))
        # When it is back
        async with register(tmp_path / "till", centre) as till:
            await up_to_date(till)
            # Then only what was sold before counts, and the register promises no more
            await till.until(lambda: till.confirmed(CARD) == 200)
            member = till.store.member_by_code(CARD)
            assert member is not None
            assert member.balance.pending == 0
            assert centre.counted(MEMBER) == expected(2)
            # And unblocking gives the rest
            centre.write(lambda connection: operations.unblock(connection, CARD, utc_now()))
            await till.until(lambda: till.confirmed(CARD) == 400)
        assert centre.counted(MEMBER) == expected(4)


async def test_a_lookup_costs_nothing_while_offline(tmp_path: Path) -> None:
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "till", centre, exchanging=False) as till,
    ):
        assert await till.loop.lookup(CARD) == LookedUp()


async def test_an_idle_register_keeps_its_balances_current(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.store.feed().as_of)
            before = till.store.feed()

        # When it comes back and nothing has changed at the centre
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.store.feed().as_of != before.as_of)

            assert till.store.feed().position == before.position


# -- programs --------------------------------------------------------------------------------------


def publish_document(centre: Centre, document: bytes, hash_: str) -> None:
    """What a centre of a later version might have in force, signed by its real key."""
    signature = base64url.encoded(centre.folder.program_key().sign(document))

    def work(connection: Connection) -> None:
        connection.execute(insert(tables.programs).values(hash=hash_, document=document, signature=signature))
        connection.execute(insert(tables.publications).values(program=hash_, published_at=utc_now()))

    centre.write(work)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"program":"later","currency":"RSD","earn":[],"magic":true}', "update the register"),
        (b"{", "update the register"),
        (b'{"program":"other","currency":"RSD","earn":[]}', "another program"),
    ],
)
async def test_a_program_that_cannot_be_used_leaves_the_old_one(tmp_path: Path, document: bytes, words: str) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: in_force(till.store))
        publish_document(centre, document, "0" * 64)

        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.loop.state.problems)

            [problem] = till.loop.state.problems
            assert problem.code == "program_unusable"
            assert words in problem.detail
            assert till.loop.state.online
            assert in_force(till.store) == program_hash(program())


async def test_a_program_signed_by_another_key_is_refused(tmp_path: Path) -> None:
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "till", centre, program_key="A" * 43) as till,
    ):
        await till.until(lambda: till.loop.state.problems)

        assert "not signed by the centre" in till.loop.state.problems[0].detail
        assert in_force(till.store) is None


# -- networks that go wrong ------------------------------------------------------------------------


async def test_what_is_sold_offline_goes_up_when_the_network_returns(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, FaultyProxy("127.0.0.1", centre.port) as network:
        url = f"https://127.0.0.1:{network.port}"
        async with register(tmp_path / "till", centre, url=url) as till:
            await known(till)
            await till.until(lambda: till.loop.state.online)

            await network.take_down()
            for number in range(1, 31):
                await till.sell(receipt(number, CARD))
            await till.until(lambda: not till.loop.state.online and till.loop.state.queued == 30)
            # The page shows what was promised meanwhile
            member = till.store.member_by_code(CARD)
            assert member is not None
            assert member.balance.pending == 3000

            network.bring_up()
            await up_to_date(till)
            await till.until(lambda: till.confirmed(CARD) == 3000)

        assert centre.counted(MEMBER) == expected(30)


async def test_a_register_cut_off_while_idle_says_so_before_the_next_heartbeat(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, FaultyProxy("127.0.0.1", centre.port) as network:
        url = f"https://127.0.0.1:{network.port}"
        async with register(tmp_path / "till", centre, url=url) as till:
            await known(till)
            await nothing_to_say(till)
            cut_at = asyncio.get_running_loop().time()

            await network.take_down()
            await till.until(lambda: not till.loop.state.online)

            assert asyncio.get_running_loop().time() - cut_at < HEARTBEAT_S / 2


async def test_a_register_that_starts_without_network_says_so_and_recovers(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with FaultyProxy("127.0.0.1", centre.port, lambda number: REFUSED if number < 6 else FINE) as network:
            async with register(tmp_path / "till", centre, url=f"https://127.0.0.1:{network.port}") as till:
                await till.sell(receipt(1, CARD))
                await till.until(lambda: till.loop.state.online)
                await up_to_date(till)

                assert till.states[0].online is False
            assert network.connections > 6
        assert centre.counted(MEMBER) == expected(1)


@pytest.mark.long
async def test_transactions_through_lost_cut_doubled_and_late_answers(
    tmp_path: Path, centre_url: str | None, tell: Tell
) -> None:
    transactions = TRANSACTIONS if centre_url is None else TRANSACTIONS_ON_POSTGRESQL
    dice = random.Random(seed_of_this_run())
    sent: Counter[tuple[str, int]] = Counter()

    def overheard(body: bytes, encoding: str | None) -> None:
        batch = msgspec.json.decode(decompress(body, encoding), type=IngestRequest)
        sent.update((batch.epoch, entry.seq) for entry in batch.entries)

    def fate_of(path: str) -> Fate:
        if path != "/v1/ingest":
            return dice.choice(["fine", "fine", "fine", "answer lost", "answer cut"])
        return dice.choice(["fine", "request lost", "answer lost", "answer cut", "request doubled", "answer late"])

    async with running_centre(tmp_path / "centre", database=centre_url) as centre:
        certificate = server_context(centre.folder)
        async with (
            HttpFaultProxy(centre.url, certificate, fate_of, overheard) as network,
            register(tmp_path / "till", centre, url=network.url, seed=dice.randrange(2**32)) as till,
        ):
            number = 0
            while number < transactions:
                for _ in range(dice.randint(1, 9)):
                    if number < transactions:
                        number += 1
                        await till.sell(receipt(number, CARD))
                if dice.random() < 0.9:
                    await up_to_date(till)
            await up_to_date(till)
            await till.until(lambda: till.confirmed(CARD) == 100 * transactions)

        redelivered = sum(times - 1 for times in sent.values())
        faults = network.fates.total() - network.fates["fine"]
        sold = expected(transactions)
        tell(centre.figures(sold, row=3, fault="exchanges gone wrong", points=faults, redelivered=redelivered))
        assert redelivered >= transactions // 3
        assert centre.counted(MEMBER) == sold
        # Nothing was taken for a fork: one epoch carried everything
        assert len({epoch for epoch, _ in sent}) == 1


async def test_a_sale_that_no_proxy_lets_through_holds_up_nothing_and_is_brought_by_hand(tmp_path: Path) -> None:
    large = identified(
        replace(
            receipt(2, CARD), lines=(Line(position=1, amount_minor=100_00, description=secrets.token_hex(40_000)),)
        ),
        b"",
    )
    async with running_centre(tmp_path / "centre") as centre:
        certificate = server_context(centre.folder)
        async with (
            HttpFaultProxy(centre.url, certificate, lambda _: "fine", max_bytes=20_000) as network,
            register(tmp_path / "till", centre, url=network.url) as till,
        ):
            # Given a sale among others that something on the way refuses
            await known(till)
            for sold in (receipt(1, CARD), large, receipt(3, CARD), receipt(4, CARD)):
                await till.sell(sold)
            # Then all is acknowledged, and the others count
            await up_to_date(till)
            assert centre.counted(MEMBER).keys() == {receipt(number, CARD).key for number in (1, 3, 4)}
            assert [entry.state for entry in till.store.queue()].count("quarantined") == 1
            [item] = centre.database.read_now(quarantine.listed).items
            assert item.reason == "digest_only"
            # And what the register prints of it is taken in at the centre
            kept = till.store.entry(2)
            printed = msgspec.json.encode({"salt": kept.salt, "body": kept.body, "number": 2})
            centre.write(lambda connection: quarantine.bring_body(connection, item.id, printed, utc_now()))
        assert centre.counted(MEMBER) == expected(4)


async def test_connections_cut_at_any_byte_lose_and_double_nothing(tmp_path: Path, tell: Tell) -> None:
    dice = random.Random(seed_of_this_run())

    def fault_of(_number: int) -> Fault:
        at = dice.randrange(1_500, 8_000)
        return dice.choice(
            [
                Fault(cut_request_after=at),
                Fault(cut_answer_after=at),
                Fault(double_request_at=at),
                Fault(double_answer_at=at),
            ]
        )

    async with running_centre(tmp_path / "centre") as centre:
        async with FaultyProxy("127.0.0.1", centre.port, fault_of) as network:
            url = f"https://127.0.0.1:{network.port}"
            async with register(tmp_path / "till", centre, url=url, seed=dice.randrange(2**32)) as till:
                for number in range(1, 101):
                    await till.sell(receipt(number, CARD))
                    if number % 2 == 0:
                        await up_to_date(till)
                await up_to_date(till)
            tell(centre.figures(expected(100), row=3, fault="connections cut at any byte", points=network.connections))
            assert network.connections > 10
        assert centre.counted(MEMBER) == expected(100)


async def test_a_snapshot_goes_on_after_a_restart(tmp_path: Path) -> None:
    stuck = True
    asked: Counter[str] = Counter()

    def fate_of(path: str) -> Fate:
        if path.startswith("/v1/snapshots/"):
            asked[path[-1]] += 1
            if stuck and path.endswith("/1"):
                return "request lost"
        return "fine"

    async with (
        running_centre(tmp_path / "centre", members=5200) as centre,  # more than a chunk holds
        HttpFaultProxy(centre.url, server_context(centre.folder), fate_of) as network,
    ):
        # Given a register that was switched off between the first and the second chunk
        async with register(tmp_path / "till", centre, url=network.url) as till:
            await till.until(lambda: till.store.count_members() == 5000 and asked["1"])
            assert till.store.feed().centre_epoch is None

        # When it is switched on again
        stuck = False
        async with register(tmp_path / "till", centre, url=network.url) as till:
            await till.until(lambda: till.store.feed().centre_epoch)

            assert till.store.count_members() == 5200

    assert asked["0"] == 1


# -- identity, copies and backups ------------------------------------------------------------------


async def test_a_restarted_register_goes_on_in_its_epoch(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "till", centre) as till:
            await known(till)
            await till.sell(receipt(1, CARD))
            await up_to_date(till)
            first = till.store.epoch()
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            await till.sell(receipt(2, CARD))
        async with register(tmp_path / "till", centre) as till:
            await till.sell(receipt(3, CARD))
            await up_to_date(till)
            second = till.store.epoch()

        assert first is not None
        assert second is not None
        assert second.epoch == first.epoch
        assert second.acked_through == 3
        assert centre.counted(MEMBER) == expected(3)


async def test_a_revoked_device_is_told_and_keeps_what_it_sold(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)
        centre.write(lambda connection: devices.revoke(connection, till.enrolment.device, utc_now()))

        await till.sell(receipt(1, CARD))
        await till.until(lambda: till.loop.state.problems)

        assert [problem.code for problem in till.loop.state.problems] == ["device_refused"]
        assert not till.loop.state.online
        assert till.store.queued() == 1
        assert centre.counted(MEMBER) == {}


async def test_a_copied_disk_loses_and_doubles_nothing(tmp_path: Path, centre_url: str | None, tell: Tell) -> None:
    async with running_centre(tmp_path / "centre", database=centre_url) as centre:
        # Given a register whose disk was copied after its first receipt
        async with register(tmp_path / "till", centre) as till:
            await known(till)
            await till.sell(receipt(1, CARD))
            await up_to_date(till)
        shutil.copytree(tmp_path / "till", tmp_path / "copy")

        # When both machines sell under one identity
        async with register(tmp_path / "till", centre) as till:
            await till.sell(receipt(2, CARD))
            await up_to_date(till)
        async with register(tmp_path / "copy", centre, exchanging=False) as copy:
            await copy.sell(receipt(3, CARD))
        async with register(tmp_path / "copy", centre) as copy:
            await up_to_date(copy)
        async with register(tmp_path / "till", centre) as till:
            await till.sell(receipt(4, CARD))
            await up_to_date(till)

        # Then people see that two histories went on from one number, and all counts once
        assert set_aside(centre) == [("fork", 2)]
        tell(centre.figures(expected(4), row=8, fault="a register's disk copied", points=1))
        assert centre.counted(MEMBER) == expected(4)


async def test_a_register_restored_from_an_old_backup_loses_and_doubles_nothing(
    tmp_path: Path, centre_url: str | None, tell: Tell
) -> None:
    async with running_centre(tmp_path / "centre", database=centre_url) as centre:
        async with register(tmp_path / "till", centre) as till:
            await known(till)
            await till.sell(receipt(1, CARD))
            await up_to_date(till)
        shutil.copytree(tmp_path / "till", tmp_path / "backup")
        async with register(tmp_path / "till", centre) as till:
            for number in (2, 3):
                await till.sell(receipt(number, CARD))
            await up_to_date(till)

        # When the disk of yesterday comes back and sells as much
        async with register(tmp_path / "backup", centre, exchanging=False) as till:
            for number in (4, 5):
                await till.sell(receipt(number, CARD))
        async with register(tmp_path / "backup", centre) as till:
            await up_to_date(till)

        # Then people see it, and all counts once
        assert set_aside(centre) == [("fork", 2), ("fork", 3)]
        tell(centre.figures(expected(5), row=8, fault="a register restored from a backup", points=1))
        assert centre.counted(MEMBER) == expected(5)


async def test_a_register_whose_store_is_damaged_loses_and_doubles_nothing(tmp_path: Path, tell: Tell) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        # given sales that the centre has, and others that it may have: the register never heard
        async with register(tmp_path / "till", centre) as till:
            await known(till)
            for number in (1, 2):
                await till.sell(receipt(number, CARD))
            await up_to_date(till)
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            for number in (3, 4):
                await till.sell(receipt(number, CARD))
        shutil.copytree(tmp_path / "till", tmp_path / "copy")
        async with register(tmp_path / "copy", centre) as copy:
            await up_to_date(copy)
        with (tmp_path / "till" / "store.db").open("r+b") as file:
            file.write(bytes(PAGE_BYTES))

        # when it sells on at once, and what can be read comes back meanwhile
        async with register(tmp_path / "till", centre) as till:
            await till.sell(receipt(5, CARD))
            await salvage(till.store, receipts_back=lambda: None)
            await up_to_date(till)
            await known(till)

            recovered = till.store.status().recovered
            assert recovered is not None
            assert recovered.salvaged.brought_back["receipts"] == 4
        tell(centre.figures(expected(5), row=20, fault="a damaged store, up to the ledger", points=1))
        assert set(centre.counted(MEMBER)) == expected(5).keys()


async def test_a_centre_that_lost_its_last_hour_gets_it_again(tmp_path: Path) -> None:
    # Given a backup of the centre's data, and a register that went on after it
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)
        await till.sell(receipt(1, CARD))
        await up_to_date(till)
        await till.until(lambda: till.confirmed(CARD) == 100)
    shutil.copytree(tmp_path / "centre", tmp_path / "backup")
    async with serving(tmp_path / "centre") as centre, register(tmp_path / "till", centre, url=centre.url) as till:
        for number in (2, 3):
            await till.sell(receipt(number, CARD))
        await up_to_date(till)
        await till.until(lambda: till.confirmed(CARD) == 300)

    # When the centre comes back as it was
    async with serving(tmp_path / "backup") as centre:
        async with register(tmp_path / "till", centre, url=centre.url) as till:
            await till.sell(receipt(4, CARD))
            await up_to_date(till)
            await till.until(lambda: till.confirmed(CARD) == 400)

        assert centre.counted(MEMBER) == expected(4)


async def test_sales_acknowledged_after_the_backup_come_back_to_a_restored_centre(
    tmp_path: Path, centre_url: str | None, empty_url: str | None, tell: Tell
) -> None:
    # Given a backup of a centre that serves, and a register whose next sales were acknowledged after it
    async with (
        running_centre(tmp_path / "centre", database=centre_url) as centre,
        register(tmp_path / "till", centre) as till,
    ):
        await known(till)
        await till.sell(receipt(1, CARD))
        await up_to_date(till)
        await asyncio.to_thread(back_up, centre.folder, tmp_path / "backup", utc_now())
        for number in (2, 3):
            await till.sell(receipt(number, CARD))
        await up_to_date(till)
        await till.until(lambda: till.confirmed(CARD) == 300)
    # When all of it is lost but the backup
    again = DataFolder(tmp_path / "again")
    await asyncio.to_thread(restore, again, tmp_path / "backup", empty_url, utc_now())
    async with serving(again.path) as centre:
        assert centre.counted(MEMBER) == expected(1)
        async with register(tmp_path / "till", centre, url=centre.url) as till:
            await till.sell(receipt(4, CARD))
            await till.until(lambda: till.confirmed(CARD) == 400)
            await up_to_date(till)
        # Then they are there again, once, beside what was never lost and what came after
        tell(centre.figures(expected(4), row=8, fault="the centre restored from a backup", points=1, redelivered=3))
        assert centre.counted(MEMBER) == expected(4)
        epochs = centre.database.read_now(lambda connection: connection.execute(select(tables.epochs)).all())
        assert [epoch.acked_through for epoch in epochs] == [1, 4]


async def test_a_register_enrolled_anew_sends_what_waits_as_another_device(tmp_path: Path) -> None:
    folder = tmp_path / "till"
    async with running_centre(tmp_path / "centre") as centre:
        # Given a register that was revoked and sold on
        async with register(folder, centre) as till:
            await known(till)
            await till.sell(receipt(1, CARD))
            await up_to_date(till)
            before = till.enrolment
        centre.write(lambda connection: devices.revoke(connection, before.device, utc_now()))
        async with register(folder, centre, exchanging=False) as till:
            await till.sell(receipt(2, CARD))

        code = parse_code(centre.code())
        after = (await enrol(code, folder, keeper_for(folder), FACTS, now=utc_now(), replace=True)).enrolment

        assert (after.device, after.key) != (before.device, before.key)
        async with register(folder, centre) as till:
            await up_to_date(till)
        assert centre.counted(MEMBER) == expected(2)


async def test_a_register_enrolled_anew_at_a_restored_centre_brings_what_that_lost(tmp_path: Path) -> None:
    folder = tmp_path / "till"
    # Given a backup, sales that were acknowledged after it, and a CA that is lost with the rest
    async with running_centre(tmp_path / "centre") as centre, register(folder, centre) as till:
        await known(till)
        await till.sell(receipt(1, CARD))
        await up_to_date(till)
        await asyncio.to_thread(back_up, centre.folder, tmp_path / "backup", utc_now())
        for number in (2, 3):
            await till.sell(receipt(number, CARD))
        await up_to_date(till)
    again = DataFolder(tmp_path / "again")
    await asyncio.to_thread(restore, again, tmp_path / "backup", None, utc_now())
    async with serving(again.path) as centre:
        assert centre.counted(MEMBER) == expected(1)

        code = parse_code(centre.code("4"))
        await enrol(code, folder, keeper_for(folder), FACTS, now=utc_now(), replace=True)

        async with register(folder, centre, url=centre.url) as till:
            await till.until(lambda: till.confirmed(CARD) == 300)
            await up_to_date(till)
        assert centre.counted(MEMBER) == expected(3)


async def test_used_scans_go_with_a_heartbeat(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            now = Instant(wall=utc_now(), boot="b", monotonic_ns=0)
            for _ in range(3):
                scan = await till.store.write(lambda writing: writing.keep_scan(CARD, "card", None, now))
                await till.store.write(partial(Writing.consume_scan, scan_id=scan))
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.store._rows("SELECT count(*) FROM scans") == [(1,)])


async def test_a_chunk_that_is_not_the_one_named_is_never_taken(tmp_path: Path) -> None:
    asked = 0
    asked_twice = asyncio.Event()

    def fate_of(path: str) -> Fate:
        nonlocal asked
        asked += path.startswith("/v1/snapshots/")
        if asked == 2:
            asked_twice.set()
        return "fine"

    async with (
        running_centre(tmp_path / "centre") as centre,
        HttpFaultProxy(centre.url, server_context(centre.folder), fate_of) as network,
    ):
        # Given a centre whose snapshot is damaged on its disk
        async with register(tmp_path / "first", centre) as till:
            await till.until(lambda: till.store.feed().centre_epoch)
        [chunk] = centre.folder.snapshots.glob("*/0.jsonl.zst")
        whole = chunk.read_bytes()
        chunk.write_bytes(whole[:-1] + b"?")

        async with register(tmp_path / "second", centre, url=network.url, number="4") as till:
            # When it was fetched twice, nothing of it is here, and other things go on
            await till.sell(receipt(1, CARD, register_number="4"))
            await up_to_date(till)
            await asked_twice.wait()
            assert till.store.count_members() == 0
            assert till.store.feed().centre_epoch is None

            chunk.write_bytes(whole)
            await till.until(lambda: till.store.feed().centre_epoch)
            assert till.store.count_members() == 5
