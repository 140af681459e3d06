"""Erasure while one register is offline (faults row 16): it is purged before it sends, the online ones at once.

No byte of any file tells who the member was; what they bought is there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec
import pytest

from agent.control import read_control
from agent.demo.floor import Centre, EntryLine, ReceiptLine, Register, until
from agent.demo.network import Cable
from agent.demo.plan import Cashiers
from agent.demo.shop import STORE, sample_members
from agent.demo.till import Till
from agent.inspection import NotFoundError
from agent.profiles import EditRequest, GivenCode, GivenConsent, JoinRequest, MemberTold
from central.operations import ErasureList
from tests.faults.figures import Figures, Tell
from tests.sync.store.raw import everything_in

PURGED_WITHIN_S = 60.0
SOON_S = 20.0
NAME, PHONE, CARD, NOTE = "Iva Erasable", "+381 64 123 4567", "TS77001", "asks for a blue bag"
PERSON = (NAME, PHONE, "641234567", CARD, NOTE)


def hits_in(everything: bytes) -> set[str]:
    bare = everything.replace(b" ", b"")
    return {text for text in PERSON if text.encode() in everything or text.replace(" ", "").encode() in bare}


def hits(folder: Path) -> dict[str, set[str]]:
    """Of every file in a folder, and of a register's store with its encryption taken off, what tells who it was."""
    found = {str(path): hits_in(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    store = folder / "state"
    if store.is_dir():
        found["the store, in the clear"] = hits_in(everything_in(store))
    return {name: texts for name, texts in found.items() if texts}


class Counter:
    """What a POS at one register asks of the local API."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def tell(self, path: str, body: JoinRequest | EditRequest) -> MemberTold:
        control = read_control(self._register.folder / "state")
        assert control is not None
        url = f"http://{control.host}:{control.port}{path}"
        headers = {"Authorization": f"Bearer {control.token}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=msgspec.json.encode(body), headers=headers) as answer,
        ):
            document = await answer.read()
            assert answer.status in (200, 201), document
            return msgspec.json.decode(document, type=MemberTold)


class Cashier:
    """Scans the member's card and sells to them."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._till = Till(register, {})
        self._cashiers = Cashiers(sample_members(), 1)

    async def sell(self) -> None:
        await self._register.scan(CARD)
        await self._till.print(self._cashiers.sale(self._register.number, CARD))

    async def print_what_nobody_reads(self) -> None:
        await self._register.print(
            b"\x1b@SUPERMARKET\nRECEIPT NO 1\nKAFA 1 x 2,00\nTOTAL RSD  X,00\nMEMBER TS-77001\n"
            b"THANKS Iva Erasable\n\x1dV\x00"
        )


async def drained(register: Register) -> bool:
    return (await register.status()).queued == 0


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_an_erased_member_is_nowhere_and_what_they_bought_is_there(tmp_path: Path, tell: Tell) -> None:
    centre, online, offline = Centre(tmp_path), Register(1, tmp_path), Register(2, tmp_path)
    await centre.open()
    async with Cable(("127.0.0.1", centre.port)) as cable, Cable(("127.0.0.1", centre.port)) as other_cable:
        try:
            await online.open(centre, cable)
            await offline.open(centre, other_cable)
            await until(lambda: knows(online, sample_members()[0].card), SOON_S, "the first register got no members")
            # Given a member who joined at one register, was told of at both, bought at both, and stands on a paper
            # that nobody could read
            consent = GivenConsent(channel="sms", state="granted", text_version="1")
            join = JoinRequest(short_name=NAME, phone=PHONE, note=NOTE, code=GivenCode(code=CARD), consents=(consent,))
            member = (await Counter(online).tell("/v1/members", join)).member
            await until(lambda: knows(offline, CARD), SOON_S, "the other register did not hear of her")
            cashiers = Cashier(online), Cashier(offline)
            for cashier in cashiers:
                await cashier.sell()
                await cashier.print_what_nobody_reads()
            for register in (online, offline):
                await until(lambda register=register: drained(register), SOON_S, "not everything arrived")  # type: ignore[misc]
                await until(lambda register=register: set_aside(register), SOON_S, "the paper was read")  # type: ignore[misc]
            # And one register loses its network, and sells on
            other_cable.cut()
            await until(lambda: is_offline(offline), SOON_S, "the register still has its network")
            await cashiers[1].sell()
            await Counter(offline).tell(f"/v1/members/{CARD}", EditRequest(note=f"{NOTE}!"))
            assert CARD in str(hits(online.folder))
            assert {CARD, NOTE} <= hits(offline.folder)["the store, in the clear"]
            assert {NAME, PHONE, CARD} <= set().union(*hits(tmp_path / "centre").values())

            # When she is erased
            await centre.run("members", "erase", PHONE)
            began = time.monotonic()
            await until(lambda: nothing_in(online.folder), PURGED_WITHIN_S, f"still there: {hits(online.folder)}")
            purged_s = time.monotonic() - began
            listed = msgspec.convert(await centre.run("members", "erasures"), ErasureList)
            assert listed.erasures[0].waiting_for == (f"{STORE}/2",)
            assert hits(tmp_path / "centre") == {}
            # And the other register has its network again
            other_cable.restore()
            await until(lambda: drained(offline), SOON_S, "the register that was offline did not come back")
            await until(lambda: confirmed_by_both(tmp_path / "centre"), SOON_S, "it did not confirm")

            # Then nothing is left anywhere, and what it sent had been purged before
            assert hits(online.folder) == hits(offline.folder) == hits(tmp_path / "centre") == {}
            assert stripped_by_the_centre(tmp_path / "centre") == 0
            # And her three sales are there, and are nobody's that could be named
            lines = await centre.ledger()
            sold = [line for line in lines if isinstance(line, ReceiptLine)]
            once = len({line.key for line in sold})
            tell(
                Figures(
                    row=16,
                    fault="erased while a register is offline",
                    points=2,
                    acknowledged=3,
                    lost=3 - once,
                    double=len(sold) - once,
                )
            )
            assert [line.member for line in sold] == [member] * 3
            assert await centre.mismatches() == 0
            assert sum(line.points for line in lines if isinstance(line, EntryLine)) > 0
            print(f"purged within {purged_s:.1f} s; 3 transactions kept, 0 hits in {counted(tmp_path)} files")
        finally:
            await online.close()
            await offline.close()
            await centre.close()
    assert hits(tmp_path) == {}


async def knows(register: Register, code: str) -> bool:
    try:
        return bool((await register.member(code)).member)
    except NotFoundError:
        return False


async def set_aside(register: Register) -> bool:
    return (await register.status()).quarantined > 0


async def is_offline(register: Register) -> bool:
    return not (await register.status()).badge.online


async def nothing_in(folder: Path) -> bool:
    return not await asyncio.to_thread(hits, folder)


async def confirmed_by_both(data: Path) -> bool:
    return asked(data, "SELECT count(*) FROM erasure_confirmations") == 2


def stripped_by_the_centre(data: Path) -> int:
    """Receipts that came after the erasure with what had to be taken out of them here."""
    late = "kind = 'receipt' AND received_at > erased_at"
    assert asked(data, f"SELECT count(*) FROM entries, erasures WHERE {late}") == 1
    return asked(data, f"SELECT count(*) FROM entries, erasures WHERE digest IS NOT NULL AND {late}")


def asked(data: Path, question: str) -> int:
    with closing(sqlite3.connect(data / "centre.db")) as database:
        return int(database.execute(question).fetchone()[0])


def counted(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
