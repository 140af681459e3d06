"""From printed jobs to booked receipts, with a real spool and a real store."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from msgspec import UNSET, Struct

from agent.store_inspection import ignored_of
from drivers.receipts.decode import DecodeOptionsError
from drivers.receipts.joining import JOIN_WITHIN_S
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.spool import EndedBy, read_acknowledged
from loyalty.identification import IdentificationRule
from loyalty.member import Balance
from loyalty.program import program_hash
from sync.store.store import Store
from sync.store.writing import Writing
from tests.agent.shop import PROGRAM, Shop, at, printed_return, receipt

T = TypeVar("T")
CARD_SLIP = "\x1b@CARD PAYMENT\nTERMINAL 77\nVISA 4111 1111 1111 1111\nAPPROVED\nAUTH 123456\nMERCHANT COPY\n\x1dV\x00"
GIBBERISH = b"\x1b@MYSTERY SHEET\n4111111111111111 SOMETHING ELSE\n\x1dV\x00"


async def test_a_scanned_member_gets_the_receipt_with_its_claims(shop: Shop) -> None:
    # given
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)

    # when
    await shop.take_all()

    # then
    (body,) = shop.bodies()
    assert body.member == "m-ana"
    assert body.receipt.member
    assert body.receipt.member.code == "TS1001"
    assert [claim.points for claim in body.claims] == [40]  # floor(26828 × 3/2 ÷ 1000)
    assert body.program == program_hash(PROGRAM)
    assert body.as_of == 1
    assert body.receipt.captured_at == at(30).wall
    assert shop.store.unused_scans() == ()
    member = shop.store.member_by_code("TS1001")
    assert member is not None
    assert member.balance == Balance(confirmed=100, pending=40, spendable=100)
    (settlement,) = shop.settlements
    assert (settlement.outcome, settlement.points, settlement.pending, settlement.code) == ("points", 40, 40, "TS1001")


async def test_receipts_that_were_held_up_for_a_day_still_find_the_cards_that_were_scanned_then(shop: Shop) -> None:
    # given a day of customers whose receipts nobody read yet
    await shop.seed()
    customers = 150
    for number in range(customers):
        await shop.scan(("TS1001", "TS1002")[number % 2], 100 * number + 5)
        shop.print(receipt(number + 1), 100 * number + 30)

    # when
    await shop.take_all()

    # then each is the one's who was scanned before it
    assert [body.member for body in shop.bodies()] == ["m-ana", "m-bora"] * (customers // 2)
    assert shop.store.unused_scans() == ()


async def test_nobody_scanned_gets_nothing(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1))

    await shop.take_all()

    (body,) = shop.bodies()
    assert (body.member, body.claims, body.receipt.member) == (UNSET, (), UNSET)
    assert shop.settlements[0].outcome == "no_card"


async def test_an_unknown_card_travels_with_the_receipt(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("NEW77", 5)
    shop.print(receipt(1), 30)

    await shop.take_all()

    (body,) = shop.bodies()
    assert (body.member, body.claims) == (UNSET, ())
    assert body.receipt.member
    assert body.receipt.member.code == "NEW77"
    assert shop.settlements[0].outcome == "held"


async def test_a_receipt_that_names_its_member_needs_no_scan(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1, tail="MEMBER TS1001\n"))

    await shop.take_all()

    assert shop.bodies()[0].member == "m-ana"


async def test_without_a_program_the_centre_will_tell(shop: Shop) -> None:
    await shop.seed(program=None)
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)

    await shop.take_all()

    (body,) = shop.bodies()
    assert (body.member, body.claims, body.program) == ("m-ana", (), UNSET)
    assert shop.settlements[0].outcome == "at_centre"


async def test_a_reprint_counts_once_and_takes_nobodys_scan(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)
    await shop.take_all()
    await shop.scan("TS1002", 40)

    shop.print(receipt(1), 50)
    shop.print(receipt(1, head="COPY\n"), 55)
    shop.print(receipt(2), 60)
    await shop.take_all()

    assert [body.member for body in shop.bodies()] == ["m-ana", "m-bora"]
    assert ignored_of(shop.store) == {"seen_again": 1, "copy": 1}


async def test_the_same_number_with_another_total_is_kept_for_a_person(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1))
    shop.print(receipt(1, total="99,00"))

    await shop.take_all()

    assert len(shop.bodies()) == 1
    (item,) = shop.store.quarantined()
    assert (item.source, item.reason) == ("printer", "conflict")


async def test_a_return_takes_back_from_whom_the_sale_gave(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)
    shop.print(printed_return(2, of=1), 90)

    await shop.take_all()

    sale, back = shop.bodies()
    assert back.receipt.kind == "return"
    assert back.member == "m-ana"
    assert [claim.points for claim in back.claims] == [-40]
    assert back.claims[0].reverses == sale.claims[0].entry_id
    member = shop.store.member_by_code("TS1001")
    assert member is not None
    assert member.balance.pending == 0


async def test_two_returns_of_one_sale_take_back_no_more_than_it_gave(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)
    shop.print(printed_return(2, of=1))
    shop.print(printed_return(3, of=1))

    await shop.take_all()

    assert sum(claim.points for body in shop.bodies() for claim in body.claims) == 0


async def test_a_return_whose_sale_is_elsewhere_waits_at_the_centre(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(printed_return(2, of=4711), 30)

    await shop.take_all()

    (body,) = shop.bodies()
    assert (body.member, body.claims) == ("m-ana", ())
    assert shop.settlements[0].outcome == "at_centre"


@pytest.mark.parametrize(
    ("head", "takes_scan"), [("TRAINING\n", False), ("PROFORMA\n", False), ("VOID\n", True), ("SUSPENDED\n", True)]
)
async def test_only_a_final_receipt_earns(shop: Shop, head: str, takes_scan: bool) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1, head=head), 30)

    await shop.take_all()

    (body,) = shop.bodies()
    assert body.claims == ()
    assert bool(shop.store.unused_scans()) is not takes_scan


async def test_what_is_no_receipt_is_counted_and_takes_no_scan(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(CARD_SLIP.encode(), 20)
    shop.print(receipt(1), 30)

    await shop.take_all()

    assert [body.member for body in shop.bodies()] == ["m-ana"]
    assert sum(ignored_of(shop.store).values()) == 1


async def test_what_cannot_be_read_is_kept_without_card_numbers(shop: Shop) -> None:
    await shop.seed()
    shop.print(GIBBERISH)
    shop.print(receipt(1))

    await shop.take_all()

    assert len(shop.bodies()) == 1
    (item,) = shop.store.quarantined()
    raw = shop.store.quarantined_raw(item.id)
    assert raw is not None
    assert b"411111******1111" in raw
    assert b"4111111111111111" not in raw


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        (b"41111111\x1bE\x0111111111\x1bE\x00", b"411111**\x1bE\x01****1111\x1bE\x00"),
        (b"4111 1111 \x1b!\x201111 1111\x1b!\x00", b"4111 11** \x1b!\x20**** 1111\x1b!\x00"),
        (b"\x1d!\x11411111111111\x1d!\x001111", b"\x1d!\x11411111******\x1d!\x001111"),
        (b"4111\x1b-\x0111111111\x1b-\x001111", b"4111\x1b-\x0111******\x1b-\x001111"),
        (b"4111\t1111\x1b$\x10\x0011111111", b"4111\t11**\x1b$\x10\x00****1111"),
        (b"\x1bM1" + b"\x1bE1".join(b"%c" % digit for digit in b"4111111111111111"), None),
    ],
    ids=["bold", "double width", "size", "underline", "columns", "digit by digit"],
)
async def test_a_card_number_that_commands_stand_in_is_masked_too(
    shop: Shop, printed: bytes, kept: bytes | None
) -> None:
    """Digits that belong to a command stay: `ESC M 1` and `ESC E 1` are no part of a number."""
    kept = kept or b"\x1bM1" + b"\x1bE1".join(b"%c" % digit for digit in b"411111******1111")
    shop.print(b"\x1b@MYSTERY SHEET\nAUTH 123456\n" + printed + b"\n\x1dV\x00")

    await shop.take_all()

    (item,) = shop.store.quarantined()
    assert shop.store.quarantined_raw(item.id) == b"\x1b@MYSTERY SHEET\nAUTH 123456\n" + kept + b"\n\x1dV\x00"


async def test_what_is_kept_of_a_part_that_cannot_be_read_are_its_own_bytes(shop: Shop) -> None:
    # given two sheets in one job, of which the second cannot be read, and a card number split on both
    split, masked = b"41111111\x1bE\x0111111111", b"411111**\x1bE\x01****1111"
    sale = receipt(1, tail=f"VISA {split.decode()}\n").removesuffix(b"\x1dV\x00")
    mystery = b"\x1b@MYSTERY SHEET\n" + split + b"\n\x1dV\x00"
    shop.print(sale + b"\x1dV\x00" + mystery, ended_by="idle")

    # when
    await shop.take_all()

    # then
    (item,) = shop.store.quarantined()
    assert shop.store.quarantined_raw(item.id) == mystery.replace(split, masked)
    assert [body.receipt.number for body in shop.bodies()] == ["1"]


async def test_a_receipt_that_is_another_one_than_before_is_kept_without_card_numbers(shop: Shop) -> None:
    shop.print(receipt(1))
    shop.print(receipt(1, total="99,00", tail="VISA 41111111\x1bE\x0111111111\n"))

    await shop.take_all()

    (item,) = shop.store.quarantined()
    assert item.reason == "conflict"
    assert b"VISA 411111**\x1bE\x01****1111\n" in (shop.store.quarantined_raw(item.id) or b"")


async def test_a_card_number_on_a_receipt_is_masked_before_it_is_kept(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1).replace(b"KAFA", b"GIFT 4111111111111111"))

    await shop.take_all()

    files = b"".join(file.read_bytes() for file in (shop.folder / "state").iterdir() if file.is_file())
    assert b"4111111111111111" not in files
    assert "4111111111111111" not in str(shop.bodies())
    assert "411111******1111" in str(shop.bodies())


async def test_a_payment_card_where_the_member_should_stand_is_nobodys(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1, tail="MEMBER 4111111111111111\n"), 30)

    await shop.take_all()

    (body,) = shop.bodies()
    assert body.member == "m-ana"  # the scan that was made counts
    assert [problem.code for problem in body.receipt.problems] == ["payment_card"]
    assert "4111111111111111" not in str(body)


async def test_a_shop_card_that_looks_like_a_payment_card_keeps_its_points(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1, tail="MEMBER 6011000990139424\n"), 30)
    club = IdentificationRule(name="club", prefixes=("601100",), lengths=(16,), check_digit="luhn")
    intake = shop.intake(identification=lambda: (club,))

    await intake.take_new()

    (body,) = shop.bodies()
    assert body.receipt.member
    assert body.receipt.member.code == "6011000990139424"
    assert body.receipt.problems == ()


async def test_the_relay_is_told_only_what_is_kept(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1))

    class Watched(SpoolReader):
        told: list[SpoolPosition] = []  # noqa: RUF012

        def acknowledge(self, position: SpoolPosition) -> None:
            kept = shop.store.spool_position("printer")
            assert kept is not None
            assert (kept.segment, kept.offset) == (position.segment, position.offset)
            self.told.append(position)
            super().acknowledge(position)

    source = Watched(shop.spool)
    intake = shop.intake(source=source)
    await intake.take_new()

    assert len(source.told) == 1


async def test_wrong_options_stop_the_source_and_touch_no_receipt(shop: Shop) -> None:
    shop.print(receipt(1))
    intake = shop.intake(options=lambda: DecodeOptions(format="papyrus"))

    with pytest.raises(DecodeOptionsError, match="papyrus"):
        await intake.run(lambda: None)

    assert shop.store.quarantined() == ()


class PowerCutError(BaseException):
    """Not an Exception, so that nothing on the way can handle it."""


class FaultyStore:
    """A store whose writes are cut before or after they take effect."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self._store = store
        self._chance = chance

    def spool_position(self, source: str) -> object:
        return self._store.spool_position(source)

    def meta(self, name: str) -> str | None:
        return self._store.meta(name)

    async def write(self, work: Callable[[Writing], T]) -> T:
        roll = self._chance.random()
        if roll < 0.2:
            raise PowerCutError
        result = await self._store.write(work)
        if roll < 0.4:
            raise PowerCutError
        return result


async def test_a_crash_anywhere_loses_and_doubles_nothing(shop: Shop) -> None:
    # given a shift in the spool, and the answer without a crash
    seed = 4242
    chance = random.Random(seed)
    await shop.seed()
    expected = []
    for number in range(1, 41):
        code = chance.choice([None, "TS1001", "TS1002", "NEW9"])
        if code is not None:
            await shop.scan(code, number * 100)
        shop.print(receipt(number), number * 100 + 50)
        if chance.random() < 0.2:
            shop.print(receipt(number), number * 100 + 60)
        if chance.random() < 0.2:
            shop.print(CARD_SLIP.encode(), number * 100 + 70)
        expected.append((str(number), code))

    # when the agent dies at random moments and starts again until all is read
    crashes = 0
    while True:
        intake = shop.intake(FaultyStore(shop.store, chance))
        try:
            await intake.take_new()
            break
        except PowerCutError:
            crashes += 1
            shop.reopen()

    # then
    seen = [(body.receipt.number, body.receipt.member.code if body.receipt.member else None) for body in shop.bodies()]
    assert seen == expected, f"seed {seed}"
    assert crashes >= 10, f"seed {seed}"
    ana = shop.store.member_by_code("TS1001")
    assert ana is not None
    assert ana.balance.pending == 40 * sum(code == "TS1001" for _, code in expected), f"seed {seed}"


def kept(shop: Shop) -> tuple[int, int]:
    """The position in the store."""
    position = shop.store.spool_position("printer")
    assert position is not None
    return position.segment, position.offset


def unread(shop: Shop) -> list[SpooledJob]:
    """What a restart would read again."""
    segment, offset = kept(shop)
    return SpoolReader(shop.spool).read_after(SpoolPosition(segment=segment, offset=offset))


def halves(job: bytes) -> tuple[bytes, bytes]:
    """A printed receipt, parted above its total."""
    at = job.index(b"TOTAL")
    return job[:at], job[at:]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_receipt_in_two_jobs_is_booked_once_both_are_there(shop: Shop, restarted: bool) -> None:
    # given a member's receipt whose till pauses before the total, and a slip of another register between
    await shop.seed()
    first, second = halves(receipt(1))
    intake = shop.intake()
    shop.print(receipt(7), 10, register="4")
    await shop.scan("TS1001", 20)
    await intake.take_new()
    before = kept(shop)
    shop.print(first, 30, ended_by="idle")
    shop.print(CARD_SLIP.encode(), 31, register="4")
    await intake.take_new()

    # then nothing of it is booked, and the relay keeps it
    assert [body.receipt.number for body in shop.bodies()] == ["7"]
    assert kept(shop) == read_acknowledged(shop.spool) == before
    assert sum(ignored_of(shop.store).values()) == 1

    # when the rest comes
    if restarted:
        shop.reopen()
        intake = shop.intake()
    shop.print(second, 40)
    await intake.take_new()

    # then it is one receipt, made when its last part was printed; the slip counted once, and nothing waits
    body = shop.bodies()[1]
    assert (body.receipt.number, body.receipt.problems, body.member) == ("1", (), "m-ana")
    assert body.receipt.captured_at == at(40).wall
    assert (shop.store.quarantined(), sum(ignored_of(shop.store).values())) == ((), 1)
    assert unread(shop) == []


async def test_a_receipt_whose_rest_does_not_come_is_set_aside_torn(shop: Shop) -> None:
    # given a begun receipt, and another register's whole one after it
    await shop.seed()
    intake = shop.intake()
    shop.print(halves(receipt(1).replace(b"KAFA", b"KAFA 4111111111111111"))[0], 10, ended_by="close")
    shop.print(receipt(2), 20, register="4")
    await intake.take_new()
    assert [body.receipt.number for body in shop.bodies()] == ["2"]
    assert shop.store.quarantined() == ()

    # when the time is over
    shop.moment = at(10 + JOIN_WITHIN_S + 1)
    await intake.take_new()

    # then a person is told, and the relay may delete it
    (item,) = shop.store.quarantined()
    assert item.reason == "torn"
    assert b"4111111111111111" not in (shop.store.quarantined_raw(item.id) or b"")
    assert read_acknowledged(shop.spool) == kept(shop)
    await shop.intake().take_new()
    assert len(shop.store.quarantined()) == 1
    assert len(shop.bodies()) == 1


async def test_a_broken_off_receipt_stops_no_whole_one(shop: Shop) -> None:
    await shop.seed()
    shop.print(halves(receipt(1))[0], 10, ended_by="idle")
    shop.print(receipt(2), 20)

    await shop.take_all()

    assert [(body.receipt.number, body.receipt.problems) for body in shop.bodies()] == [("2", ())]
    assert [item.reason for item in shop.store.quarantined()] == ["torn"]


async def test_receipts_in_parts_survive_crashes_anywhere(shop: Shop) -> None:
    # given two registers on one spool, whose receipts come whole, in parts, with a slip between, or are broken off
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await shop.seed()
    days = {register: _day_in_parts(chance, register) for register in ("3", "4")}
    parts = [part for day in days.values() for part in day]
    second = 0.0
    while any(days.values()):
        register = chance.choice([name for name, day in days.items() if day])
        part = days[register].pop(0)
        second += chance.random()
        shop.print(part.payload, second, ended_by=part.ended_by, register=register)

    # when the agent dies at random moments and starts again until all is read
    crashes = 0
    while True:
        intake = shop.intake(FaultyStore(shop.store, chance))
        try:
            await intake.take_new()
            break
        except PowerCutError:
            crashes += 1
            shop.reopen()

    # then every receipt is booked once, every broken-off one is set aside once, and every slip counted once
    booked = sorted(body.receipt.number for body in shop.bodies() if body.receipt.number)
    assert booked == sorted(part.completes for part in parts if part.completes)
    assert all(body.receipt.problems == () for body in shop.bodies())
    assert [item.reason for item in shop.store.quarantined()] == ["torn"] * sum(part.is_lost for part in parts)
    assert ignored_of(shop.store) == {"card_slip": sum(part.payload == CARD_SLIP.encode() for part in parts)}
    assert read_acknowledged(shop.spool) <= kept(shop)
    assert unread(shop) == []
    assert crashes >= 5


class Part(Struct, frozen=True, kw_only=True):
    """A job of a day; `completes` is the number of the receipt that is whole with it."""

    payload: bytes
    ended_by: EndedBy = "cut"
    completes: str = ""
    is_lost: bool = False


def _day_in_parts(chance: random.Random, register: str) -> list[Part]:
    parts = [Part(payload=CARD_SLIP.encode())]
    for index in range(12):
        number = int(f"{register}{index:02}")
        whole = receipt(number).replace(b"REGISTER 3", f"REGISTER {register}".encode())
        first, rest = halves(whole)
        begun = Part(payload=first, ended_by=chance.choice(("idle", "close")))
        completed = Part(payload=rest, completes=str(number))
        match chance.randrange(4):
            case 0:
                parts.append(Part(payload=whole, completes=str(number)))
            case 1:
                parts += [begun, completed]
            case 2:
                parts += [begun, Part(payload=CARD_SLIP.encode()), completed]
            case _:
                broken_off = Part(
                    payload=first.replace(str(number).encode(), b"9%d" % number), ended_by="close", is_lost=True
                )
                parts += [broken_off, Part(payload=whole, completes=str(number))]
    return parts


async def test_a_job_that_breaks_the_booking_is_set_aside_and_the_next_goes_on(shop: Shop) -> None:
    await shop.seed()
    shop.print(receipt(1))
    shop.print(receipt(2))

    class BrokenRules(type(shop.rules)):  # type: ignore[misc]
        asked = 0

        def at(self, writing: Writing, receipt: object) -> object:
            self.asked += 1
            if self.asked == 1:
                raise ZeroDivisionError("a bug that names 4111111111111111")
            return super().at(writing, receipt)

    shop.rules = BrokenRules()

    await shop.take_all()

    assert [body.receipt.number for body in shop.bodies()] == ["2"]
    (item,) = shop.store.quarantined()
    assert item.reason == "not_booked"
    assert "411111******1111" in item.detail
    assert "4111111111111111" not in item.detail


async def test_a_job_that_the_spool_does_not_hold_whole_is_set_aside(shop: Shop) -> None:
    class Torn(SpoolReader):
        def read_after(self, position: SpoolPosition) -> list[SpooledJob]:
            if position >= SpoolPosition(segment=1, offset=9):
                return []
            whole = SpoolPosition(segment=1, offset=9)
            job = SpooledJob(
                position=whole, payload=receipt(1), captured=at(1), register="3", ended_by="cut", truncated=True
            )
            return [job]

    intake = shop.intake(source=Torn(shop.spool))
    shop.spool.mkdir()

    await intake.take_new()

    assert shop.store.quarantined()[0].reason == "job_too_long"
    assert shop.bodies() == []
