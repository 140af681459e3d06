"""Cards: their numbers and states, what is held and booked by them, and what registers hear."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET
from sqlalchemy import Connection, event

from central import audit, cards, configs, fed_rows, members, operations, programs
from central.admin.views.cards import blocked_cards
from central.cards import CardError, CardStateError, CodeTakenError, NoCodeError, UnknownCardError
from central.db import tables
from central.stock import StockFileError, stock_from
from loyalty.centre_config import CentreConfig
from loyalty.identification import IdentificationRule
from loyalty.member import Identifier, Member
from sync.guesses import MAX_MISSES
from sync.wire import Change, MemberResponse, decompress
from tests.central.conftest import RunningCentre, only_sqlite
from tests.central.till import NOON, RefusedError, claims_of, receipt, returned

SIGNING_KEY = Ed25519PrivateKey.generate()
STOCK = b"code,printed\nTS-101,900 101\nTS-102,900 102\nTS-103\n"


def at(minute: int) -> Any:
    return NOON + timedelta(minutes=minute)


@pytest.fixture
def stocked(centre: RunningCentre) -> RunningCentre:
    """m1 has TS0001, m2 TS0002, m3 nothing; three cards lie in the drawer."""
    centre.write(lambda connection: operations.import_stock(connection, STOCK, NOON))
    return centre


def card(centre: RunningCentre, code: str) -> operations.CardShown:
    shown: operations.CardShown = centre.read(lambda connection: operations.card(connection, code))
    return shown


def issue(centre: RunningCentre, code: str, member: str) -> operations.CardDone:
    done: operations.CardDone = centre.write(lambda c: operations.issue(c, code, member, centre.clock()))
    return done


def block(centre: RunningCentre, code: str, minute: int = 0, because: str = "") -> operations.CardDone:
    done: operations.CardDone = centre.write(lambda c: operations.block(c, code, because, at(minute)))
    return done


def unblock(centre: RunningCentre, code: str) -> operations.CardDone:
    done: operations.CardDone = centre.write(lambda c: operations.unblock(c, code, centre.clock()))
    return done


def replace(centre: RunningCentre, old: str, new: str) -> operations.CardDone:
    done: operations.CardDone = centre.write(lambda c: operations.replace(c, old, new, centre.clock()))
    return done


def link(centre: RunningCentre, member: str, code: str, **how: str) -> operations.Linked:
    def work(connection: Connection) -> operations.Linked:
        return operations.link(connection, member, code, centre.clock(), **how)

    linked: operations.Linked = centre.write(work)
    return linked


def row(centre: RunningCentre, member: str) -> Member:
    found: dict[str, Member] = centre.read(lambda c: fed_rows.rows_of(c, [member], NOON))
    return found[member]


# ---- numbers


async def test_the_printed_and_the_encoded_number_are_one_card(stocked: RunningCentre) -> None:
    issue(stocked, "900-101", "m3")

    assert row(stocked, "m3").identifiers == (
        Identifier(kind="card", code="900101", card="TS101"),
        Identifier(kind="card", code="TS101", card="TS101"),
    )
    shown = card(stocked, "ts 101")
    assert [(number.code, number.printed) for number in shown.numbers] == [("TS101", False), ("900101", True)]
    for code in ("900 101", "TS-101"):
        assert stocked.read(partial(members.find_members, text=code, limit=10)) == ["m3"]


async def test_both_numbers_earn_for_one_member(stocked: RunningCentre) -> None:
    issue(stocked, "TS101", "m3")
    till = await stocked.till()
    await till.sell(receipt(1, code="TS101"), receipt(2, code="900101"))

    assert stocked.points("m3") == 20


async def test_an_import_says_which_number_is_printed(centre: RunningCentre) -> None:
    document = b'{"members":[{"member":"m9","identifiers":[{"code":"TS-9","printed":"900 9"},{"code":"TS-10"}]}]}'
    report = centre.write(lambda c: operations.import_file(c, document, NOON))
    assert (report.added, report.unchanged) == (1, 0)
    assert [number.code for number in card(centre, "9009").numbers] == ["TS9", "9009"]
    assert [number.code for number in card(centre, "TS10").numbers] == ["TS10"]
    # And importing it again changes nothing
    report = centre.write(lambda c: operations.import_file(c, document, NOON))
    assert (report.added, report.changed, report.unchanged) == (0, 0, 1)


async def test_an_import_adds_a_printed_number_to_a_card_that_is_known(centre: RunningCentre) -> None:
    # Given a receipt that a register read the printed number for
    till = await centre.till()
    await till.sell(receipt(1, code="9001"))
    # When the file says whose card that is printed on
    document = b'{"members":[{"member":"m1","identifiers":[{"code":"TS0001","printed":"9001"}]}]}'
    report = centre.write(lambda c: operations.import_file(c, document, NOON))
    # Then it is that member's
    assert (report.changed, report.receipts) == (1, 1)
    assert centre.points("m1") == 10
    assert card(centre, "9001").card == "TS0001"


async def test_two_cards_of_one_member_can_turn_out_to_be_one(centre: RunningCentre) -> None:
    link(centre, "m1", "9001")
    document = b'{"members":[{"member":"m1","identifiers":[{"code":"TS0001","printed":"9001"}]}]}'
    report = centre.write(lambda c: operations.import_file(c, document, NOON))
    assert report.changed == 1
    assert {one.card for one in row(centre, "m1").identifiers} == {"TS0001"}
    assert card(centre, "9001").numbers[1].printed


@pytest.mark.parametrize("how", [{"printed": "900-1"}, {"alias_of": "TS0001"}], ids=str)
async def test_a_link_can_name_the_other_number(centre: RunningCentre, how: dict[str, str]) -> None:
    # Given receipts under a new code, and under the number printed on the card
    till = await centre.till()
    await till.sell(receipt(1, code="NEW1"), receipt(2, code="9001"))
    # When it is linked together with that, or as another number of a card they have
    linked = link(centre, "m1", "new-1", **how)
    # Then what was bought under both counts, and they are one card
    expected = {"NEW1", "9001"} if "printed" in how else {"NEW1", "TS0001"}
    assert {number.code for number in card(centre, "NEW1").numbers} == expected
    assert linked.receipts == len(expected) - ("alias_of" in how)
    # And again it changes nothing
    assert link(centre, "m1", "new-1", **how) == operations.Linked(member="m1", receipts=0, points=0)


async def test_numbers_of_two_members_cannot_be_one_card(centre: RunningCentre) -> None:
    for wrong in ({"printed": "TS0002"}, {"alias_of": "TS0002"}):
        with pytest.raises(CodeTakenError):
            link(centre, "m1", "NEW1", **wrong)
    with pytest.raises(CodeTakenError, match="two members"):
        centre.write(lambda c: operations.import_stock(c, b"TS0001,TS0002\n", NOON))
    with pytest.raises(UnknownCardError):
        link(centre, "m1", "NEW1", alias_of="NOBODY")
    for nothing in (" - ", "X" * 256):
        with pytest.raises(NoCodeError):
            link(centre, "m1", nothing)
    assert centre.count(tables.identifiers) == 2


# ---- stock


PAYMENT_CARD = "4111 1111 1111 1111"


async def test_a_payment_cards_number_is_kept_for_nobody(centre: RunningCentre) -> None:
    stock = f"TS-201,{PAYMENT_CARD}\n".encode()
    imported = msgspec.json.encode(
        {"members": [{"member": "m9", "identifiers": [{"code": "TS-209", "printed": PAYMENT_CARD}]}]}
    )

    for keep in (
        lambda: link(centre, "m3", PAYMENT_CARD),
        lambda: link(centre, "m1", "TS0001", printed=PAYMENT_CARD),
        lambda: centre.write(lambda c: operations.import_stock(c, stock, NOON)),
        lambda: centre.write(lambda c: operations.import_file(c, imported, NOON)),
    ):
        with pytest.raises(CardError, match=r"ends in 1111 is a payment card's.*identification rule") as refused:
            keep()
        assert "411111" not in str(refused.value)

    assert centre.read(lambda c: cards.places(c, ["4111111111111111"])) == {}


async def test_numbers_that_only_look_like_a_payment_cards_are_kept(centre: RunningCentre) -> None:
    rule = IdentificationRule(name="cards", prefixes=("411111",), lengths=(16,))
    telephone = msgspec.json.encode(
        {"members": [{"member": "m3", "identifiers": [{"kind": "phone", "code": "+4222222222222"}]}]}
    )
    centre.write(lambda c: configs.publish(c, CentreConfig(identification=(rule,)), SIGNING_KEY, NOON))

    link(centre, "m3", PAYMENT_CARD)
    link(centre, "m3", "4006381333931")
    centre.write(lambda c: operations.import_file(c, telephone, NOON))

    kept = centre.read(lambda c: cards.places(c, ["4111111111111111", "4006381333931"]))
    assert {place.member for place in kept.values()} == {"m3"}
    assert len(kept) == 2
    assert centre.read(lambda c: cards.owner_as_typed(c, "+42 222 222 22222")) == "m3"


def test_a_list_of_cards_is_read_in_both_forms() -> None:
    rows = [("TS101", "900101"), ("TS102",)]
    for document in (
        b"TS-101,900 101\nTS-102\n",
        b"Code;Printed\r\nTS-101;900 101\r\n\r\nTS-102;\r\n",
        b'\xef\xbb\xbfcode,printed\n"TS-101","900 101"\nTS-102,TS102\n',
        b' {"cards":[{"code":"TS-101","printed":"900 101"},{"code":"TS-102"}]}',
    ):
        assert [tuple(number.code for number in one.numbers) for one in stock_from(document)] == rows


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"TS1\nTS2,1,2\n", "line 2: write CODE or CODE,PRINTED"),
        (b"TS1\nts-1\n", "line 2: its number stands at line 1"),
        (b"TS1,9\nTS2,9\n", "line 2: its number stands at line 1"),
        (b"TS1\n-,7\n", "line 2: a number is empty"),
        (b"X" * 256, "line 1: a number has more than 255 characters"),
        (b"caf\xe9\n", "byte 3 is no UTF-8"),
        (b'{"cards":[{"cod":"1"}]}', "$.cards[0]"),
        (b'{"cards":[{"code":"1"},{"code":"-"}]}', "$.cards[1]: a number is empty"),
        (b'{"cards":', "docs/central.md"),
    ],
)
def test_a_list_that_cannot_be_read_names_the_place(document: bytes, says: str) -> None:
    with pytest.raises(StockFileError) as refused:
        stock_from(document)
    assert says in str(refused.value)


async def test_stock_is_nobodys_until_it_is_handed_out(stocked: RunningCentre) -> None:
    # Given a receipt for a card that was given away without a word
    till = await stocked.till()
    answer = await till.sell(receipt(1, code="900102"), receipt(2, code="TS-102"))
    assert [outcome.pos for outcome in answer.outcomes] == [UNSET, UNSET]
    assert (card(stocked, "TS102").state, card(stocked, "TS102").held) == ("unissued", 2)
    # When it is handed out
    done = issue(stocked, "TS102", "m3")
    # Then it counts
    assert (done.receipts, done.points, done.card.state, done.card.held) == (2, 20, "active", 0)
    assert stocked.points("m3") == 20
    assert [change.what for change in done.card.changes] == ["issued"]
    # And again it changes nothing
    assert issue(stocked, "TS102", "m3").card.changes == done.card.changes


async def test_linking_or_importing_a_card_of_stock_hands_it_out(stocked: RunningCentre) -> None:
    linked = link(stocked, "m3", "900 101")
    document = b'{"members":[{"member":"m3","identifiers":[{"code":"TS103"}]}]}'
    report = stocked.write(lambda c: operations.import_file(c, document, NOON))

    assert (linked.receipts, report.changed) == (0, 1)
    assert [card(stocked, code).state for code in ("TS101", "TS102", "TS103")] == ["active", "unissued", "active"]
    assert {one.code for one in row(stocked, "m3").identifiers} == {"TS101", "900101", "TS103"}


async def test_the_same_list_again_changes_nothing_whatever_became_of_the_cards(stocked: RunningCentre) -> None:
    issue(stocked, "TS101", "m3")
    block(stocked, "TS102")

    report = stocked.write(lambda c: operations.import_stock(c, STOCK, NOON))

    assert (report.added, report.changed, report.unchanged) == (0, 0, 3)
    assert [card(stocked, code).state for code in ("TS101", "TS102", "TS103")] == ["active", "blocked", "unissued"]


async def test_a_list_teaches_the_printed_numbers_of_cards_in_use(centre: RunningCentre) -> None:
    # Given a card in use, and a receipt under its printed number
    till = await centre.till()
    await till.sell(receipt(1, code="9001"))
    # When the printer's list comes late
    report = centre.write(lambda c: operations.import_stock(c, b"TS0001,9001\n", NOON))
    # Then the number is the member's
    assert (report.added, report.changed, report.receipts) == (0, 1, 1)
    assert centre.points("m1") == 10


async def test_what_cannot_be_handed_out_says_why(stocked: RunningCentre) -> None:
    with pytest.raises(UnknownCardError):
        issue(stocked, "NOBODY", "m1")
    with pytest.raises(members.UnknownMemberError):
        issue(stocked, "TS101", "nobody")
    with pytest.raises(CodeTakenError):
        issue(stocked, "TS0002", "m1")
    block(stocked, "TS101")
    with pytest.raises(CardStateError, match="unblock it first"):
        issue(stocked, "TS101", "m1")
    with pytest.raises(CardStateError):
        link(stocked, "m1", "900101")


# ---- blocked


async def test_blocking_one_number_blocks_the_card(stocked: RunningCentre) -> None:
    issue(stocked, "TS101", "m3")

    done = block(stocked, "900 101", because="lost")

    assert (done.card.state, done.card.blocked_because) == ("blocked", "lost")
    assert {one.state for one in row(stocked, "m3").identifiers} == {"blocked"}
    assert [(change.what, change.detail) for change in done.card.changes] == [("issued", None), ("blocked", "lost")]
    # And a second time it stays blocked since the first
    again = block(stocked, "TS101", 5, because="stolen")
    assert (again.card.blocked_at, again.card.blocked_because) == (NOON, "lost")


async def test_receipts_made_after_the_block_are_held_and_unblocking_books_them(centre: RunningCentre) -> None:
    # Given a register that did not know yet, and claimed points for the member
    till = await centre.till()
    program = _program(centre)
    block(centre, "TS0001", 5)
    early, late = receipt(4, code="TS0001"), receipt(6, code="ts-0001")
    till.sale(late, member="m1", claims=claims_of(late, program))
    till.sale(early, member="m1", claims=claims_of(early, program))
    answer = await till.send(1)
    # Then what was bought before counts, though it came after, and the other is held, in sight
    assert [outcome.detail for outcome in answer.outcomes] == ["held: its card was blocked before", UNSET]
    assert answer.outcomes[0].pos is UNSET
    assert centre.points("m1") == 10
    assert card(centre, "TS0001").held == 1
    assert centre.read(lambda c: audit.check(c, NOON)).blocked == 1
    assert centre.count(tables.variances) == 0
    # When it is unblocked
    centre.clock.now = at(10)
    done = unblock(centre, "TS0001")
    # Then it counts
    assert (done.receipts, done.points, done.card.state, done.card.held) == (1, 10, "active", 0)
    assert centre.points("m1") == 20
    assert centre.count(tables.variances) == 0
    # And what comes late from before is booked, blocked again or not
    block(centre, "TS0001", 20)
    await till.sell(receipt(7, code="TS0001"))
    assert centre.points("m1") == 30


async def test_what_was_booked_stays(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = receipt(6, code="TS0001")
    await till.sell(sold)
    block(centre, "TS0001", 5)
    # When its other print comes, and its return
    await till.sell(receipt(6, code="TS0001", operator="Mira"), returned(7, sold, -30_00, code="TS0001"))
    # Then the first changes nothing, and the return takes back
    assert centre.points("m1") == 7


async def test_a_held_receipt_that_comes_again_stays_held(centre: RunningCentre) -> None:
    till = await centre.till()
    block(centre, "TS0001", 5)
    held = receipt(6, code="TS0001")
    await till.sell(held, receipt(6, code="TS0001", operator="Mira"), returned(7, held))
    assert centre.count(tables.ledger) == 0
    assert card(centre, "TS0001").held == 1
    # And unblocking settles its return with it
    unblock(centre, "TS0001")
    assert centre.count(tables.ledger) == 2
    assert centre.points("m1") == 0


async def test_a_receipt_without_a_time_counts_as_made_now(centre: RunningCentre) -> None:
    till = await centre.till()
    block(centre, "TS0001", 5)
    await till.sell(receipt(1, code="TS0001", issued_at=UNSET))
    assert card(centre, "TS0001").held == 1
    await till.sell(receipt(2, code="TS0001", issued_at=UNSET, captured_at=at(4)))
    assert centre.points("m1") == 10


async def test_an_attachment_by_a_blocked_card_is_held_too(centre: RunningCentre) -> None:
    till = await centre.till()
    block(centre, "TS0001", 5)
    before, after, waiting = receipt(4), receipt(6), receipt(7)
    till.sale(before)
    till.sale(after)
    till.attach(before.key, "TS0001")
    till.attach(after.key, "TS0001")
    till.attach(waiting.key, "TS0001")
    till.sale(waiting)
    answer = await till.send(1)
    assert {outcome.code for outcome in answer.outcomes} == {"accepted"}
    assert centre.points("m1") == 10
    assert card(centre, "TS0001").held == 2
    unblock(centre, "TS0001")
    assert centre.points("m1") == 30


async def test_a_sale_suspended_before_the_block_and_paid_after_it_is_held(centre: RunningCentre) -> None:
    till = await centre.till()
    sold = receipt(6, code="TS0001")
    parked = msgspec.structs.replace(sold, status="suspended", issued_at=at(4), total_minor=1, lines=())
    block(centre, "TS0001", 5)
    await till.sell(parked, msgspec.structs.replace(sold, member=UNSET))
    assert centre.points("m1") == 0
    assert card(centre, "TS0001").held == 1
    unblock(centre, "TS0001")
    assert centre.points("m1") == 10


async def test_the_other_number_of_a_card_attaches_nothing_new(stocked: RunningCentre) -> None:
    till = await stocked.till()
    sold = receipt(1, code="TS101")
    till.sale(sold)
    till.attach(sold.key, "900101")
    answer = await till.send(1)
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "duplicate"]


# ---- replaced


async def test_a_replaced_card_still_earns_and_names_the_new_one(stocked: RunningCentre) -> None:
    # Given receipts of a member's worn card, and one of the card from the drawer
    till = await stocked.till()
    await till.sell(receipt(1, code="TS0001"), receipt(2, code="TS101"))
    # When the one takes the place of the other
    done = replace(stocked, "ts-0001", "900101")
    assert (done.receipts, done.points, done.card.state, done.card.replaced_by) == (1, 10, "replaced", "TS101")
    # Then both earn for the member, and the old one tells how the new one ends, as printed
    await till.sell(receipt(3, code="TS0001"))
    assert stocked.points("m1") == 30
    by_code = {one.code: one for one in row(stocked, "m1").identifiers}
    assert by_code["TS0001"] == Identifier(kind="card", code="TS0001", state="replaced", replaced_by="0101")
    assert by_code["TS101"].state == "active"
    # And again it changes nothing
    assert replace(stocked, "TS0001", "TS101").card.changes == done.card.changes


async def test_a_card_that_was_replaced_twice_names_the_one_in_use(stocked: RunningCentre) -> None:
    replace(stocked, "TS0001", "TS101")
    replace(stocked, "TS101", "NEW-777")
    by_code = {one.code: one.replaced_by for one in row(stocked, "m1").identifiers}
    assert by_code == {"TS0001": "W777", "TS101": "W777", "900101": "W777", "NEW777": ""}


async def test_a_blocked_card_that_is_replaced_stays_blocked(stocked: RunningCentre) -> None:
    block(stocked, "TS0001", because="stolen")
    assert replace(stocked, "TS0001", "TS101").card.state == "blocked"
    assert unblock(stocked, "TS0001").card.state == "replaced"


async def test_what_cannot_be_replaced_says_why(stocked: RunningCentre) -> None:
    issue(stocked, "TS103", "m1")
    for old, new, error in (
        ("TS101", "TS102", "never handed out"),
        ("NOBODY", "TS102", "no card has this number"),
        ("TS0001", "TS-0001", "two numbers of one card"),
        ("TS0001", "TS0002", "already names another member"),
        ("TS0001", "-", "1 to 255 characters"),
    ):
        with pytest.raises(CardError, match=error):
            replace(stocked, old, new)
    block(stocked, "TS102")
    with pytest.raises(CardStateError, match="the new card is blocked"):
        replace(stocked, "TS0001", "TS102")
    replace(stocked, "TS0001", "TS103")
    with pytest.raises(CardStateError, match="replaced before"):
        replace(stocked, "TS0001", "TS101")
    with pytest.raises(CardStateError, match="the new card is replaced"):
        replace(stocked, "TS103", "TS0001")
    with pytest.raises(CardStateError, match="cannot be one card"):
        link(stocked, "m1", "TS0001", alias_of="TS103")


# ---- what registers hear


async def test_every_change_of_a_card_goes_down_the_feed(stocked: RunningCentre) -> None:
    till = await stocked.till()
    position = (await till.changes()).next
    for change in (
        lambda: issue(stocked, "TS101", "m3"),
        lambda: block(stocked, "900101"),
        lambda: unblock(stocked, "TS101"),
        lambda: replace(stocked, "TS101", "TS102"),
        lambda: stocked.write(lambda c: operations.import_stock(c, b"TS101,900101\nTS102,8\n", NOON)),
    ):
        change()
        await till.heartbeat()
        assert await _placed(stocked) == []
        answer = await till.changes(position)
        position = answer.next
        [only] = answer.changes
        assert only.row is not UNSET
        assert only.row.identifiers == row(stocked, "m3").identifiers
    # And what changed nothing, or stock that nobody has, is no news
    block(stocked, "TS103")
    unblock(stocked, "TS101")
    assert await _placed(stocked) == []


async def test_a_snapshot_tells_the_states_too(stocked: RunningCentre) -> None:
    till = await stocked.till()
    issue(stocked, "TS101", "m3")
    block(stocked, "TS101")
    await _placed(stocked)
    snapshot = await till.snapshot()
    status, body = await till.request("GET", snapshot.chunks[0].url, b"")
    assert status == 200
    rows = msgspec.json.Decoder(Change).decode_lines(decompress(body, "zstd"))
    [told] = [one.row for one in rows if one.member == "m3"]
    assert told is not UNSET
    assert {one.state for one in told.identifiers} == {"blocked"}


@pytest.mark.parametrize(
    ("code", "state"), [("TS101", "unissued"), ("900-102", "blocked"), ("NOBODY", None), ("TS0001", "active")]
)
async def test_a_lookup_says_of_a_card_that_nobody_has_what_it_is(
    stocked: RunningCentre, code: str, state: str | None
) -> None:
    block(stocked, "TS102")
    till = await stocked.till()
    await _placed(stocked)
    if state == "active":
        answer = await till.get(f"/v1/members/{code}", MemberResponse)
        assert answer.row.member == "m1"
        return
    with pytest.raises(RefusedError) as refused:
        await till.get(f"/v1/members/{code}", MemberResponse)
    assert refused.value.status == 404
    assert refused.value.problem.get("card") == state


async def test_a_lookup_of_a_blocked_card_gives_the_row_that_says_so(stocked: RunningCentre) -> None:
    block(stocked, "TS0001")
    till = await stocked.till()
    await _placed(stocked)
    answer = await till.get("/v1/members/TS0001", MemberResponse)
    assert answer.row.refuses("TS0001")


async def test_a_register_that_guesses_codes_is_slowed_down_and_no_sale_is_dropped(stocked: RunningCentre) -> None:
    guessing, other = await stocked.till(), await stocked.till("4")
    await _placed(stocked)
    for number in range(MAX_MISSES):
        assert (await guessing.request("GET", f"/v1/members/GUESS{number}", b""))[0] == 404
    # then it hears nothing of any code for a while
    with pytest.raises(RefusedError) as refused:
        await guessing.get("/v1/members/TS0001", MemberResponse)
    assert (refused.value.status, refused.value.problem["title"]) == (429, "Too many codes that nobody has")
    # and others do, and what it sold is taken in
    assert (await other.get("/v1/members/TS0001", MemberResponse)).row.member == "m1"
    answer = await guessing.sell(receipt(1, code="TS0001"), receipt(2, code="GUESS1"))
    assert [outcome.code for outcome in answer.outcomes] == ["accepted", "accepted"]


async def test_the_numbers_of_many_members_are_read_in_parts(centre: RunningCentre) -> None:
    count = cards.AT_ONCE + 20
    document = msgspec.json.encode(
        {"members": [{"member": f"n{n}", "identifiers": [{"code": f"N{n}", "printed": f"P{n}"}]} for n in range(count)]}
    )
    centre.write(lambda c: operations.import_file(c, document, NOON))
    rows = centre.read(lambda c: fed_rows.rows_of(c, [f"n{n}" for n in range(count)], NOON))
    assert {len(one.identifiers) for one in rows.values()} == {2}


@only_sqlite
async def test_no_card_and_none_of_its_receipts_is_looked_for_among_all(stocked: RunningCentre) -> None:
    # Given what is done to cards, and the page that shows them
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engines = tuple(stocked.database._engines.values())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", listen)
    link = partial(operations.link, member="m1", now=NOON)
    stocked.write(lambda connection: link(connection, code="TS0777"))
    stocked.write(lambda connection: link(connection, code="TS0777", alias_of="TS0001"))
    issue(stocked, "TS101", "m3")
    replace(stocked, "TS101", "TS102")
    block(stocked, "TS103")
    stocked.read(blocked_cards)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", listen)
    # Then the database finds each by an index
    plans = {
        (statement, row.detail)
        for statement, parameters in asked
        if ("identifiers" in statement or "FROM receipts" in statement) and not statement.startswith("INSERT")
        for row in stocked.read(partial(_plan, statement=statement, parameters=parameters))
    }
    assert len(plans) > 10
    assert any("ix_receipts_code" in plan for _, plan in plans)
    assert [plan for plan in plans if plan[1] in ("SCAN identifiers", "SCAN receipts")] == []


def _plan(connection: Connection, statement: str, parameters: Any) -> Any:
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()


def _program(centre: RunningCentre) -> Any:
    return centre.read(lambda connection: programs.program_in_force(connection, NOON)).program


async def _placed(centre: RunningCentre) -> list[Any]:
    """Places what waits, as the server does by itself; returns what is still without a position."""
    centre.place(NOON)
    return list(centre.read(lambda c: c.execute(tables.changes.select()).all()))
