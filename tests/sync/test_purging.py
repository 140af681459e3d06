"""An erasure at a register: what is about the member goes, wherever it stands, and their transactions stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from loyalty.addresses import address_code, hidden_code
from loyalty.member import Identifier, Member
from loyalty.receipt import MemberReference
from sync.purging import carry_out, nothing_else
from sync.records import JoinBody, ProfileBody, ReceiptBody, SignalBody, ToldCode, ToldValue
from sync.store.overlay import Edit
from sync.store.purge_rows import (
    AT_ONCE,
    BYTES_AT_ONCE,
    ERASURES_THROUGH,
    About,
    starred,
    written_anyhow,
)
from sync.store.reading import CODE_KEY, EPOCH_VOID
from sync.store.salvage import salvage
from sync.store.sqlite import PAGE_BYTES
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Erasure, IngestResponse
from tests.sync.store.raw import everything_in
from tests.sync.store.samples import CAPTURED, keeper, opened, receipt

KEY = "ab" * 32
CARD, UNKNOWN, NAME, NOTE = "TS77001", "TS77002", "Iva Erasable", "asks for a blue bag"
PHONE = "+381641234567"
SLAVIC = "Željka Đurić"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ERASURE = Erasure(
    number=4,
    member="m-iva",
    aliases=("p-1",),
    codes=tuple(hidden_code(code, KEY) for code in (CARD, UNKNOWN, address_code("phone", PHONE, KEY) or "")),
    erased_at=NOW,
)
STAMP = "019ab3c4d5e60000-a1b2c3d4"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with_store = opened(tmp_path)
    yield with_store
    with_store.close()


def lived(writing: Writing) -> None:
    """Receipts under codes known and unknown, edits, scans, a paper, entries in the outbox; and somebody else's."""
    writing.set_meta(CODE_KEY, KEY)
    codes = (Identifier(kind="card", code=CARD), Identifier(kind="phone", code=address_code("phone", PHONE, KEY) or ""))
    writing.keep_member(5, Member(member="m-iva", identifiers=codes, short_name=NAME))
    writing.keep_member(6, Member(member="m-bora", identifiers=(Identifier(kind="card", code="TS1002"),)))
    writing.open_epoch("e1", "d1")
    for number, (code, member) in enumerate([(CARD, "m-iva"), (UNKNOWN, None), (CARD, "p-1"), ("TS1002", "m-bora")], 1):
        sale = replace(receipt(number), member=MemberReference(code=code))
        writing.add_receipt(sale, member, (), CAPTURED)
        writing.append("receipt", sale.key, ReceiptBody(receipt=sale, member=member or msgspec.UNSET))
    note = {"note": ToldValue(value=NOTE, hlc=STAMP), "phone": ToldValue(value=PHONE, hlc=STAMP)}
    writing.tell("profile", "k1", ProfileBody(member="m-iva", fields=note), Edit(fields={"note": NOTE}))  # type: ignore[arg-type]
    joined = JoinBody(provisional_id="p-9", fields={}, codes=(ToldCode(kind="phone", code=PHONE),))
    writing.append("join", "k2", joined)
    writing.keep_scan(CARD, "card", "m-iva", CAPTURED)
    writing.keep_scan(UNKNOWN, "card", None, CAPTURED)
    writing.quarantine("printer", "unreadable", f"a line of {NAME}", b"CARD ts-77 001\nTHANKS IVA ERASABLE")


def told_of(everything: bytes) -> set[str]:
    bare = everything.replace(b" ", b"").upper()
    return {text for text in (CARD, UNKNOWN, NAME, NOTE, PHONE) if text.replace(" ", "").upper().encode() in bare}


def set_aside(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("store.db.corrupt-*")]


async def test_nothing_is_left_and_what_was_bought_is_there(store: Store, tmp_path: Path) -> None:
    await store.write(lived)
    assert told_of(everything_in(tmp_path, keeper(tmp_path))) == {CARD, UNKNOWN, NAME, NOTE, PHONE}
    told: set[str] = set()

    async def masked(texts: frozenset[str]) -> None:
        told.update(texts)

    await carry_out(store, ERASURE, masked)

    assert told_of(everything_in(tmp_path, keeper(tmp_path))) == set()
    assert {CARD, UNKNOWN, NAME} <= told
    assert store._rows("SELECT member FROM receipts ORDER BY id") == [("m-iva",)] * 3 + [("m-bora",)]
    assert store.member("m-iva") is None
    assert store.member_by_code(CARD) is None
    # And nothing of anybody else went
    assert store.known_receipt((receipt(4).key,)).receipt.member.code == "TS1002"  # type: ignore[union-attr]
    assert store.member_by_code("TS1002") is not None
    # And the centre is told, in an epoch in which nothing was sent as it was
    assert store.meta(EPOCH_VOID) == "e1"
    assert store.meta(ERASURES_THROUGH) == "4"
    last = store.entry(store.last_number())
    assert (last.kind, msgspec.json.decode(last.json)) == ("erased", {"member": "m-iva", "erasure": 4})


async def test_what_another_version_told_is_masked_and_holds_up_no_erasure(store: Store, tmp_path: Path) -> None:
    await store.write(lived)
    odd = SignalBody(what=f"{NAME} came with {CARD}")
    await store.write(lambda writing: writing.append("profile", "k3", odd))

    await carry_out(store, ERASURE, nothing_else)

    assert told_of(everything_in(tmp_path, keeper(tmp_path))) == set()
    assert store.meta(ERASURES_THROUGH) == "4"


async def test_a_damaged_file_goes_with_who_is_erased(store: Store, tmp_path: Path) -> None:
    # Given a store that was damaged, set aside and brought back; and one of years ago
    await store.write(lived)
    store.close()
    (tmp_path / "store.db.corrupt-20240101T120000Z-0").write_bytes(CARD.encode())
    content = bytearray((tmp_path / "store.db").read_bytes())
    content[:PAGE_BYTES] = bytes(PAGE_BYTES)
    (tmp_path / "store.db").write_bytes(content)
    with closing(opened(tmp_path)) as again:
        assert len(set_aside(tmp_path)) >= 2
        assert again.salvaging()
        await salvage(again, receipts_back=lambda: None)
        assert not again.salvaging()
        await again.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
        # When the member is erased
        await carry_out(again, ERASURE, nothing_else)
        # Then no file tells of them, and the item that told of the damage says so
        assert set_aside(tmp_path) == []
        assert told_of(everything_in(tmp_path, keeper(tmp_path))) == set()
        assert again.known_receipt((receipt(4).key,)).receipt.member.code == "TS1002"  # type: ignore[union-attr]
        items = [one for one in again.quarantined() if one.reason == "corrupt_store"]
        assert len(items) == 2
        assert all("removed" in item.detail for item in items)
        # And a second erasure has nothing to remove
        await carry_out(again, replace(ERASURE, number=5, member="m-bora", aliases=()), nothing_else)


async def test_what_waits_is_sent_without_the_code_and_under_the_same_key(store: Store) -> None:
    await store.write(lived)
    await carry_out(store, ERASURE, nothing_else)
    await store.write(lambda writing: writing.open_epoch("e2", "d1"))

    batch = store.next_batch()
    assert batch is not None
    bodies = [msgspec.json.decode(entry.json) for entry in batch.entries]
    assert [entry.key for entry in batch.entries[:4]] == [receipt(number).key for number in range(1, 5)]
    assert ["member" in body["receipt"] for body in bodies[:4]] == [False, False, False, True]
    assert [body["member"] for body in bodies[:4]] == ["m-iva", "m-iva", "m-iva", "m-bora"]
    assert bodies[4] == {"member": "m-iva", "fields": {}}
    assert CARD not in repr(bodies)


async def test_what_the_centre_has_needs_no_new_epoch_and_no_row_comes_back(store: Store) -> None:
    await store.write(lived)
    batch = store.next_batch()
    assert batch is not None
    through = len(batch.entries)
    reached = store.walk(through).hash
    answer = IngestResponse(
        centre_epoch="c", acked_through=through, chain_hash=reached.hex(), outcomes=(), server_time=NOW, credit=1
    )
    await store.write(lambda writing: writing.acknowledge(answer))

    await carry_out(store, ERASURE, nothing_else)
    await store.write(lambda writing: writing.keep_member(9, Member(member="m-iva", short_name=NAME)))

    assert store.meta(EPOCH_VOID) is None
    assert store.member("m-iva") is None
    # What was sent cannot be sent again in this epoch, whose chain is of what it was
    assert store.batch_from(1) is None


async def test_an_erasure_that_was_cut_short_is_carried_out_again(store: Store, tmp_path: Path) -> None:
    await store.write(lived)

    async def power_cut(_texts: frozenset[str]) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await carry_out(store, ERASURE, power_cut)
    assert store.meta(ERASURES_THROUGH) is None
    await carry_out(store, ERASURE, nothing_else)

    assert told_of(everything_in(tmp_path, keeper(tmp_path))) == set()


async def test_a_receipt_that_waits_for_its_partner_waits_on_without_the_code(store: Store) -> None:
    # Given receipts of a further source that wait, one of them under the member's code
    def wait(writing: Writing) -> None:
        lived(writing)
        for number, code in ((11, CARD), (12, "TS1002")):
            theirs = replace(receipt(number), member=MemberReference(code=code))
            writing.add_waiting("web", theirs, CAPTURED, content="c", said=NOW, arrived=NOW)

    await store.write(wait)

    await carry_out(store, ERASURE, nothing_else)

    waiting = await store.write(lambda writing: writing.waiting_since(NOW))
    assert [one.receipt.key for one in waiting] == [receipt(11).key, receipt(12).key]
    assert [one.receipt.member and one.receipt.member.code for one in waiting] == [msgspec.UNSET, "TS1002"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp852", "cp1250", "iso8859-2"])
async def test_a_name_is_found_in_any_case_and_code_page(store: Store, encoding: str) -> None:
    # Given papers with a name that is not ASCII, as one code page of a till writes it
    paper = f"HVALA {SLAVIC.upper()}!\n{SLAVIC}, {SLAVIC.lower()}".encode(encoding)

    def print_it(writing: Writing) -> None:
        writing.keep_member(5, Member(member="m-iva", short_name=SLAVIC))
        writing.quarantine("printer", "unreadable", f"æeljka Đurić, {SLAVIC.upper()}", paper)

    await store.write(print_it)

    await carry_out(store, ERASURE, nothing_else)

    [item] = store.quarantined(1)
    stars = "*" * len(SLAVIC.encode(encoding))
    assert store.quarantined_raw(item.id) == f"HVALA {stars}!\n{stars}, {stars}".encode()
    assert item.detail == f"æeljka Đurić, {'*' * len(SLAVIC.encode())}"


def test_cyrillic_is_found_in_its_code_pages() -> None:
    for encoding in ("utf-8", "cp1251", "cp855", "iso8859-5"):
        paper = "ХВАЛА ЖЕЉКА-ЂУРИЋ".encode(encoding)
        assert starred(paper, [written_anyhow("Жељка Ђурић")]).rstrip(b"*") == "ХВАЛА ".encode(encoding)


async def test_large_papers_are_looked_through_a_few_at_a_time(store: Store) -> None:
    """A receipt may be waiting for the writer."""

    def print_them(writing: Writing) -> list[int]:
        large, small = bytes(BYTES_AT_ONCE // 2), b"CARD TS77001"
        return [writing.quarantine("printer", "unreadable", "", raw) for raw in (large, large, small, small)]

    papers = await store.write(print_them)

    async def step(after: int) -> int | None:
        return await store.write(lambda writing: writing.purge_quarantine(frozenset({CARD}), after))

    assert await step(0) == papers[1]
    assert store.quarantined_raw(papers[2]) == b"CARD TS77001"
    assert await step(papers[1]) is None
    assert [store.quarantined_raw(paper) for paper in papers[2:]] == [b"CARD *******"] * 2


async def test_nobody_is_told_before_the_log_is_emptied_too(store: Store, tmp_path: Path) -> None:
    await store.write(lived)
    gone = asyncio.Event()
    store.listen(lambda _: gone.set() if store.member("m-iva") is None else None)

    # Given a crash after the last row went
    erasing = asyncio.create_task(carry_out(store, ERASURE, nothing_else))
    await gone.wait()
    erasing.cancel()
    await asyncio.wait({erasing})
    assert erasing.cancelled()
    assert store.meta(ERASURES_THROUGH) is None

    # When it is begun again
    await carry_out(store, ERASURE, nothing_else)

    assert store.meta(ERASURES_THROUGH) == "4"
    assert [entry.kind for entry in store.queue()].count("erased") == 1
    assert told_of(everything_in(tmp_path, keeper(tmp_path))) == set()


async def test_scans_and_receipts_that_wait_are_looked_through_some_at_a_time(store: Store) -> None:
    """A receipt may be waiting for the writer."""

    def wait(writing: Writing) -> None:
        for number in range(AT_ONCE + 1):
            theirs = replace(receipt(number), member=MemberReference(code=CARD))
            writing.add_waiting("web", theirs, CAPTURED, content="c", said=NOW, arrived=NOW)
            writing.keep_scan(CARD, "card", None, CAPTURED)

    await store.write(wait)
    about = About(ERASURE, KEY)

    assert await store.write(lambda writing: writing.purge_waiting(about, 0)) == AT_ONCE
    assert await store.write(lambda writing: writing.purge_waiting(about, AT_ONCE)) is None
    assert await store.write(lambda writing: writing.purge_scans(about, 0)) == AT_ONCE
    assert len(store.unused_scans()) == 1
    assert await store.write(lambda writing: writing.purge_scans(about, AT_ONCE)) is None
    assert store.unused_scans() == ()
    waiting = await store.write(lambda writing: writing.waiting_since(NOW))
    assert [one.receipt.member for one in waiting] == [msgspec.UNSET] * len(waiting)


async def test_answers_that_would_be_given_again_tell_nobody_of_who_was_erased(store: Store) -> None:
    # given answers about sales of the member, of a sale that was first theirs, and of others'
    def answered(writing: Writing) -> None:
        lived(writing)
        for sale, reference in (("s-theirs", MemberReference(code=CARD)), ("s-other", MemberReference(code="TS0001"))):
            writing.open_sale(sale, CAPTURED, by_page=False, call=f"opens {sale}")
            writing.set_sale_member(sale, reference)
        iva: dict[str, str | None] = {"ending": "7001", "name": NAME}
        typed: dict[str, str | None] = {"ending": "", "name": NAME}
        bora: dict[str, str | None] = {"ending": "0001", "name": "Bora Other"}
        for number in range(AT_ONCE + 1):
            keep(writing, "sale/s-theirs", f"call-{number}", iva)
        keep(writing, "closing/s-theirs", "call", typed | {"name": None})
        keep(writing, "sale/s-other", "before", typed)
        keep(writing, "sale/s-other", "after", bora)
        writing.keep_answered_call("members", "call", "digest", b'{"member":"m-iva","entries":1}')

    def keep(writing: Writing, source: str, call: str, member: dict[str, str | None]) -> None:
        answer = {"sale": source.partition("/")[2], "points": 7, "member": member}
        writing.keep_answered_call(source, call, "digest", msgspec.json.encode(answer))

    def told(source: str, call: str) -> object:
        first = store.answered_call(source, call)
        assert first is not None
        return msgspec.json.decode(first.answer)

    store.submit(answered).result()

    await carry_out(store, ERASURE, nothing_else)

    for number in range(AT_ONCE + 1):
        assert told("sale/s-theirs", f"call-{number}") == {"sale": "s-theirs", "points": 7, "member": None}
    for source, call in (("closing/s-theirs", "call"), ("sale/s-other", "before")):
        assert told(source, call) == {"sale": source.partition("/")[2], "points": 7, "member": None}
    assert told("sale/s-other", "after") == {
        "sale": "s-other",
        "points": 7,
        "member": {"ending": "0001", "name": "Bora Other"},
    }
    assert told("members", "call") == {"member": "m-iva", "entries": 1}
