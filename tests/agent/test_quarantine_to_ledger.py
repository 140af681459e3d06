"""From an unreadable print job to points in the centre's ledger: once, whatever is tried again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec.structs import replace

from agent.booking import Rules, book
from agent.bookkeeping import Bookkeeper
from agent.rereading import Rereader
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from tests.agent.shop import BOOT, OPTIONS, at, receipt
from tests.sync.centre import Centre, Register, register, running_centre
from tests.sync.programs import in_force

CARD, MEMBER = "TS00001", "m1"
WRONG = replace(OPTIONS, format="purs-journal")
NO_CURRENCY = replace(OPTIONS, currency=None)


def printed(number: int) -> bytes:
    return receipt(number, tail=f"MEMBER {CARD}\n").replace(b"TOTAL RSD", b"TOTAL")


class Desk:
    """What reads and books at one register; its options are what an operator corrects."""

    def __init__(self, till: Register) -> None:
        self.till = till
        self.rules = Rules()

    def books(self, name: str = "printer") -> Bookkeeper:
        take = partial(book, boot=BOOT, rules=self.rules)
        return Bookkeeper(name=name, store=self.till.store, take=take, settled=lambda _: None)

    async def take(self, job: bytes, options: DecodeOptions) -> None:
        books = self.books()
        await books.keep(books.prepared(job, decode(job, options), at(30)), lambda _writing, _kept: None)

    async def retry(self) -> list[str]:
        reader = Rereader(
            store=self.till.store, books=self.books, options=lambda _: OPTIONS, rules=self.rules, read_with="corrected"
        )
        return [fate.fate for item in (await reader.reread_some(0)).items for fate in item.receipts]

    async def sent(self) -> None:
        await self.till.until(lambda: self.till.store.queued() == 0)


async def points(centre: Centre, desk: Desk) -> list[int]:
    await desk.sent()
    return sorted(centre.counted(MEMBER).values())


async def test_what_was_set_aside_counts_exactly_once_when_it_is_read(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await till.until(lambda: till.store.member_by_code(CARD))
        await till.until(lambda: in_force(till.store))
        desk = Desk(till)

        # given a job that the settings' reader does not know, and a receipt without a currency
        await desk.take(printed(1), WRONG)
        await desk.take(printed(2), NO_CURRENCY)
        assert [item.reason for item in till.store.quarantined()] == ["unknown_layout", "currency_unknown"]
        assert await points(centre, desk) == []

        # when the settings are corrected and both are read again
        assert await desk.retry() == ["booked", "corrected"]

        # then each earned once at the centre
        assert await points(centre, desk) == [268, 268]
        # and neither another retry nor reprints change that
        assert await desk.retry() == []
        await desk.take(printed(1), OPTIONS)
        await desk.take(printed(2), OPTIONS)
        assert await points(centre, desk) == [268, 268]
        assert till.store.quarantined() == ()
