"""One receipt in several jobs: what is joined, what waits and how long, and that nothing whole ever waits."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from drivers.receipts.decode import Decoded, decode
from drivers.receipts.joining import JOIN_WITHIN_S, MAX_PARTS, MAX_WAITING, MAX_WAITING_BYTES, JobJoiner, Taken
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from loyalty.instant import Instant
from tests.drivers.receipts.journals import Item, Journal, printed

OPTIONS = DecodeOptions(currency="EUR", time_zone="Europe/Zagreb")
MORNING = datetime(2026, 11, 22, 9, tzinfo=UTC)
TEXT = """\
EXAMPLE SHOP
Store 12  Register 3
Receipt 4711  22.11.2026 09:07
Bread  3.00
Milk  1.00
Coffee  5.00
TOTAL EUR  9.00
CASH  10.00
CHANGE  1.00
"""
SLIP = "CUSTOMER COPY\nTID 12345678\nAPPROVED\nAMOUNT EUR 3.00\n"
JOURNAL = printed(
    Journal(items=(Item(text="HLEB/KOM (Е)", price_minor=8999, quantity="2", amount_minor=17998),), tail="")
)


def at(seconds: float, boot: str = "b") -> Instant:
    return Instant(wall=MORNING + timedelta(seconds=seconds), boot=boot, monotonic_ns=int(seconds * 1e9))


class Till:
    """Hands jobs to a joiner, one a second."""

    def __init__(self) -> None:
        self.joiner = JobJoiner()
        self.place = SpoolPosition(segment=1)
        self.second = 0.0

    def prints(
        self, payload: bytes | str, ended_by: str = "idle", *, register: str = "3", after_s: float = 1.0
    ) -> Taken:
        data = payload if isinstance(payload, bytes) else payload.encode()
        self.second += after_s
        before, self.place = self.place, SpoolPosition(segment=1, offset=self.place.offset + len(data) + 1)
        job = SpooledJob(
            position=self.place, payload=data, captured=at(self.second), register=register, ended_by=ended_by
        )
        return self.joiner.take(job, before, read)


def read(payload: bytes) -> Decoded:
    return decode(payload, OPTIONS)


def numbers(taken: Taken) -> list[str]:
    assert taken.whole is not None
    return [receipt.number for receipt in taken.whole.decoded.receipts if receipt.number]


@pytest.mark.parametrize("document", [TEXT, JOURNAL], ids=["text", "journal"])
@pytest.mark.parametrize("ended_by", ["idle", "close", "shutdown"])
def test_a_receipt_is_the_same_wherever_it_was_parted(document: str, ended_by: str) -> None:
    whole = read(document.encode()).receipts
    lines = document.splitlines(keepends=True)
    joined = 0
    for cut in range(1, len(lines)):
        till = Till()
        first = till.prints("".join(lines[:cut]), ended_by)
        last = till.prints("".join(lines[cut:]), "cut")
        if first.whole is None:
            # what waited is joined, at the instant of its last part, and nothing waits any more
            joined += 1
            assert last.whole is not None
            assert last.whole.decoded.receipts == whole, cut
            assert (last.whole.captured, last.torn) == (at(2), ())
        assert till.joiner.parts() == ()
        assert till.joiner.done_until(till.place) == till.place
    assert joined >= 3


def test_a_receipt_printed_line_by_line() -> None:
    till = Till()
    head, *lines = TEXT.split("Milk", maxsplit=1)[0], *TEXT[TEXT.index("Milk") :].splitlines(keepends=True)
    assert till.prints(head) == Taken()
    taken = [till.prints(line, "close") for line in lines]
    assert [each.whole is None for each in taken] == [True, True, False, False, False]
    assert numbers(taken[2]) == ["4711"]


def test_code_page_and_letters_go_on_from_the_first_part() -> None:
    text = TEXT.replace("Bread", "Čvarci")
    head, rest = text.split("Coffee")
    till = Till()
    assert till.prints(b"\x1b@\x1bt\x12" + head.encode("cp852")) == Taken()
    taken = till.prints(("Coffee" + rest).replace("Coffee", "Žganci").encode("cp852") + b"\x1dV\x00", "cut")
    assert taken.whole is not None
    (receipt,) = taken.whole.decoded.receipts
    assert [line.description for line in receipt.lines] == ["Čvarci", "Milk", "Žganci"]


@pytest.mark.parametrize("document", [TEXT, JOURNAL, SLIP, "", "whatever\n", "\x1b@\x1bp\x00\x19\xfa"])
@pytest.mark.parametrize("ended_by", ["cut", "idle", "close", "shutdown"])
def test_what_is_whole_or_no_receipt_never_waits(document: str, ended_by: str) -> None:
    till = Till()
    taken = till.prints(document, ended_by)
    assert taken.whole is not None
    assert (taken.whole.decoded, taken.whole.payload) == (read(document.encode()), document.encode())
    assert till.joiner.due_in_s(at(till.second)) is None


def test_what_was_cut_does_not_wait() -> None:
    assert Till().prints(TEXT[:80], "cut").whole is not None


@pytest.mark.parametrize("document", [TEXT, JOURNAL], ids=["text", "journal"])
def test_a_whole_receipt_after_a_broken_off_one_is_itself(document: str) -> None:
    till = Till()
    till.prints(TEXT[: TEXT.index("TOTAL")].replace("4711", "4710"))
    taken = till.prints(document, "cut")
    assert taken.whole is not None
    assert taken.whole.decoded == read(document.encode())
    assert [b"4710" in torn.payload for torn in taken.torn] == [True]


def test_a_new_head_ends_the_wait_of_the_old_one() -> None:
    till = Till()
    begun = TEXT[: TEXT.index("TOTAL")]
    till.prints(begun.replace("4711", "4710"))
    taken = till.prints(begun)
    assert (taken.whole, len(taken.torn)) == (None, 1)
    assert numbers(till.prints(TEXT[TEXT.index("TOTAL") :], "cut")) == ["4711"]


def test_a_slip_or_the_drawer_between_two_parts_is_itself() -> None:
    till = Till()
    head, rest = TEXT[: TEXT.index("TOTAL")], TEXT[TEXT.index("TOTAL") :]
    till.prints(head)
    for other, kind in ((SLIP.encode(), "card_slip"), (b"\x1b@\x1bp\x00\x19\xfa", "drawer")):
        taken = till.prints(other, "cut")
        assert taken.whole is not None
        assert [ignored.kind for ignored in taken.whole.decoded.ignored] == [kind]
    assert numbers(till.prints(rest, "cut")) == ["4711"]


def test_registers_do_not_mix() -> None:
    till = Till()
    head, rest = TEXT[: TEXT.index("TOTAL")], TEXT[TEXT.index("TOTAL") :]
    till.prints(head)
    till.prints(head.replace("4711", "4712"), register="4")
    begun = till.joiner.parts()
    assert len(begun) == 2
    assert numbers(till.prints(rest, register="4")) == ["4712"]
    # what the first register began still waits, and the spool is needed from before it on
    assert till.joiner.parts() == begun[:1]
    assert till.joiner.done_until(till.place) == SpoolPosition(segment=1)
    assert numbers(till.prints(rest)) == ["4711"]


def test_it_waits_no_longer_than_its_time() -> None:
    till = Till()
    head, rest = TEXT[: TEXT.index("TOTAL")], TEXT[TEXT.index("TOTAL") :]
    till.prints(head)
    assert till.joiner.due_in_s(at(till.second + 20)) == JOIN_WITHIN_S - 20
    assert till.joiner.expired(at(till.second + JOIN_WITHIN_S)) == ()
    (torn,) = till.joiner.expired(at(till.second + JOIN_WITHIN_S + 1))
    assert torn.payload == head.encode()
    # a job that comes too late finds nothing, whether or not that was looked at
    assert numbers(till.prints(TEXT)) == ["4711"]
    till.prints(head)
    assert len(till.prints(rest, after_s=JOIN_WITHIN_S + 1).torn) == 1


def test_after_a_restart_of_the_machine_the_wall_clock_tells() -> None:
    till = Till()
    till.prints(TEXT[: TEXT.index("TOTAL")])
    assert till.joiner.expired(at(60, boot="later")) == ()
    assert len(till.joiner.expired(at(600, boot="later"))) == 1


def test_little_is_held() -> None:
    head = TEXT[: TEXT.index("TOTAL")]
    till = Till()
    for register in range(MAX_WAITING + 1):
        taken = till.prints(head, register=str(register))
        assert (taken.whole is None) == (register < MAX_WAITING)
    # too long to begin with, too long together, too many parts
    assert Till().prints(head + "x\n" * MAX_WAITING_BYTES).whole is not None
    till = Till()
    till.prints(head)
    assert len(till.prints("x\n" * (MAX_WAITING_BYTES // 2)).torn) == 1
    till = Till()
    till.prints(head)
    assert sum(len(till.prints("Tea  1.00\n").torn) for _ in range(MAX_PARTS)) == 1


def test_a_restart_goes_on_where_it_was() -> None:
    # given two parts that wait
    before, head, rest = (
        TEXT.split("Milk", maxsplit=1)[0],
        TEXT[TEXT.index("Milk") : TEXT.index("TOTAL")],
        TEXT[TEXT.index("TOTAL") :],
    )
    till = Till()
    till.prints(before)
    till.prints(head)
    # when another joiner is told of them
    fresh = JobJoiner()
    place = SpoolPosition(segment=1)
    for part, payload in zip(till.joiner.parts(), (before, head), strict=True):
        job = SpooledJob(position=part, payload=payload.encode(), captured=at(1), register="3", ended_by="idle")
        fresh.hold(job, place)
        place = part
    assert fresh.parts() == till.joiner.parts()
    assert fresh.done_until(place) == SpoolPosition(segment=1)
    # then it is as before
    till.joiner = fresh
    assert numbers(till.prints(rest, "cut")) == ["4711"]


def test_a_decoder_that_fails_changes_nothing() -> None:
    till = Till()
    till.prints(TEXT[: TEXT.index("TOTAL")])
    begun = till.joiner.parts()

    def broken(payload: bytes) -> Decoded:
        raise ZeroDivisionError

    job = SpooledJob(position=till.place, payload=b"x", captured=at(2), register="3", ended_by="idle")
    with pytest.raises(ZeroDivisionError):
        till.joiner.take(job, till.place, broken)
    assert till.joiner.parts() == begun


def test_no_order_of_parts_loses_or_doubles_a_byte() -> None:
    # given jobs of any kind, in any order
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pieces = [*TEXT.splitlines(keepends=True), TEXT, SLIP, JOURNAL, JOURNAL[:400], JOURNAL[400:], "x\n", TEXT[:90]]
    till = Till()
    printed_bytes = read_bytes = 0
    for _ in range(400):
        payload = chance.choice(pieces)
        printed_bytes += len(payload.encode())
        taken = till.prints(payload, chance.choice(("cut", "idle", "close")), after_s=chance.choice((1, 1, 1, 200)))
        read_bytes += sum(len(torn.payload) for torn in taken.torn) + len(taken.whole.payload if taken.whole else b"")
    # then each byte comes out once, in a job or torn
    read_bytes += sum(len(torn.payload) for torn in till.joiner.expired(at(till.second + 1000)))
    assert read_bytes == printed_bytes
