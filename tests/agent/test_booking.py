"""One receipt booked: its stages, its fuller prints and its voiding, with a real store."""

from __future__ import annotations

import random

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from agent.booking import Booked, book
from agent.desk import Settlement
from loyalty.identity import identified
from loyalty.member import Balance, Counters, Identifier, Member
from loyalty.program import program_from_json
from loyalty.receipt import Fiscal, Line, MemberReference, Original, Receipt
from sync.wire import Change
from tests.agent.shop import ANA, BOOT, MORNING, Shop, at, printed_return, receipt

MEMBER = MemberReference(code="TS1001")


def sale(number: str, total_minor: int = 268_28, **facts: object) -> Receipt:
    plain = Receipt(
        key="",
        kind="sale",
        store="12",
        register="3",
        number=number,
        business_day=MORNING.date(),
        issued_at=MORNING,
        currency="RSD",
        total_minor=total_minor,
        lines=(Line(position=1, amount_minor=total_minor),),
    )
    return identified(replace(plain, **facts), b"")


async def booked(shop: Shop, seen: Receipt, seconds: float) -> Booked:
    return await shop.store.write(lambda writing: book(writing, seen, at(seconds), boot=BOOT, rules=shop.rules))


def balance(shop: Shop, code: str = "TS1001") -> Balance:
    member = shop.store.member_by_code(code)
    assert member is not None
    return member.balance


def settled(result: Booked) -> Settlement:
    assert result.settlement is not None
    return result.settlement


async def test_a_suspended_sale_keeps_its_member_for_the_final_one(shop: Shop) -> None:
    # given a sale that was suspended with a card, and the next customer, who has none
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1, total="99,00", head="SUSPENDED\n"), 10)
    shop.print(receipt(2), 20)
    # when the first is taken up again and paid, twice printed
    shop.print(receipt(1), 30)
    shop.print(receipt(1), 40)
    await shop.take_all()

    # then it earns for that member, once
    assert [(body.receipt.number, body.receipt.status, body.member) for body in shop.bodies()] == [
        ("1", "suspended", "m-ana"),
        ("2", "final", UNSET),
        ("1", "final", "m-ana"),
    ]
    first, _, last = shop.bodies()
    assert (first.receipt.key, first.claims) == (last.receipt.key, ())
    assert [claim.points for claim in last.claims] == [40]
    assert balance(shop).pending == 40
    assert [settlement.outcome for settlement in shop.settlements] == ["points", "no_card", "points"]
    known = shop.store.known_receipt([last.receipt.key])
    assert known is not None
    assert (known.receipt, known.member, known.claims) == (last.receipt, "m-ana", last.claims)
    assert shop.store.quarantined() == ()


async def test_a_card_scanned_for_the_final_sale_replaces_the_suspended_ones(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1, head="SUSPENDED\n"), 10)
    await shop.take_all()
    await shop.scan("TS1002", 15)
    shop.print(receipt(1), 20)
    await shop.take_all()

    last = shop.bodies()[-1]
    assert last.member == "m-bora"
    assert last.receipt.member
    assert last.receipt.member.code == "TS1002"
    assert (balance(shop).pending, balance(shop, "TS1002").pending) == (0, 26)
    assert shop.store.unused_scans() == ()


@pytest.mark.parametrize("status", ["suspended", "training", "proforma", "advance"])
async def test_what_comes_late_of_an_earlier_stage_changes_nothing(shop: Shop, status: str) -> None:
    await shop.seed()
    final = sale("1", member=MEMBER)
    await booked(shop, replace(final, status=status), 10)
    await booked(shop, final, 20)

    assert (await booked(shop, replace(final, status="suspended", total_minor=1), 30)).fate == "seen_again"
    assert (await booked(shop, final, 40)).fate == "seen_again"
    assert [body.receipt.status for body in shop.bodies()] == [status, "final"]
    assert balance(shop).pending == 40


async def test_a_voided_sale_claims_back_what_it_claimed(shop: Shop) -> None:
    # given a sale of which one part came back
    await shop.seed()
    final = sale("1", member=MEMBER)
    await booked(shop, final, 10)
    back = sale("2", -100_00, kind="return", original=Original(number="1"))
    assert settled(await booked(shop, back, 20)).points == -14
    # when it is voided, on a print that says nothing of its total, while a card waits
    await shop.scan("TS1002", 25)
    voided = sale("1", 0, status="voided", lines=())
    result = settled(await booked(shop, voided, 30))

    # then the rest is claimed back, and the card belongs to no receipt
    assert (result.outcome, result.points, result.code) == ("points", -26, "TS1001")
    last = shop.bodies()[-1]
    assert (last.receipt.key, last.receipt.status, last.receipt.total_minor) == (final.key, "voided", 268_28)
    assert (last.member, [claim.points for claim in last.claims]) == ("m-ana", [-26])
    assert balance(shop).pending == 0
    assert shop.store.unused_scans() == ()
    # and nothing of it counts again
    assert [(await booked(shop, seen, 40)).fate for seen in (voided, final)] == ["seen_again", "seen_again"]
    assert (await booked(shop, replace(back, key="x", number="3", also=()), 50)).settlement is not None
    assert shop.bodies()[-1].claims == ()


async def test_voiding_a_return_is_kept_for_a_person(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 10)
    shop.print(printed_return(2, of=1), 20)
    voided = printed_return(2, of=1).replace(b"RECEIPT NO 2", b"VOID\nRECEIPT NO 2")
    shop.print(voided, 30)
    await shop.take_all()

    assert len(shop.bodies()) == 2
    (item,) = shop.store.quarantined()
    assert (item.reason, "a person has to" in item.detail) == ("conflict", True)


async def test_a_suspended_return_takes_back_when_it_is_final(shop: Shop) -> None:
    # given a return that was suspended before its sale was read
    await shop.seed()
    back = sale("2", -268_28, kind="return", original=Original(number="1"))
    await booked(shop, replace(back, status="suspended"), 10)
    await booked(shop, sale("1", member=MEMBER), 20)
    assert settled(await booked(shop, back, 30)).points == -40

    # then no other return takes the same back
    again = sale("3", -268_28, kind="return", original=Original(number="1"))
    assert settled(await booked(shop, again, 40)).points == 0
    assert balance(shop).pending == 0


async def test_a_fuller_print_is_sent_up_once_and_counts_once(shop: Shop) -> None:
    await shop.seed()
    bare = sale("1", lines=(), member=MEMBER)
    fuller = sale("1", operator="Ana", fiscal=Fiscal(scheme="rs-purs", number="A-A-1"))
    assert fuller.key != bare.key
    await booked(shop, bare, 10)
    for seconds in (20, 30):
        assert (await booked(shop, fuller, seconds)).fate == "seen_again"

    first, second = shop.bodies()
    assert (second.receipt.key, second.receipt.also) == (bare.key, ("rs-purs:A-A-1",))
    assert (second.receipt.lines, second.receipt.operator) == (fuller.lines, "Ana")
    assert (second.member, second.claims) == ("m-ana", first.claims)
    assert balance(shop).pending == 40
    known = shop.store.known_receipt([fuller.key])
    assert known is not None
    assert known.receipt == second.receipt


async def test_a_member_that_only_the_second_print_names_earns(shop: Shop) -> None:
    await shop.seed()
    await booked(shop, sale("1"), 10)
    await booked(shop, sale("1", member=MEMBER), 20)
    await booked(shop, sale("1", member=MemberReference(code="TS1002")), 30)

    assert [(body.member, len(body.claims)) for body in shop.bodies()] == [(UNSET, 0), ("m-ana", 1)]
    assert balance(shop).pending == 40


async def test_an_original_that_only_the_second_print_names_is_taken_back_from(shop: Shop) -> None:
    await shop.seed()
    await booked(shop, sale("1", member=MEMBER), 10)
    back = sale("2", -268_28, kind="return")
    await booked(shop, back, 20)
    assert balance(shop).pending == 40
    for seconds in (30, 40):
        await booked(shop, replace(back, original=Original(number="1")), seconds)

    assert balance(shop).pending == 0
    assert len(shop.bodies()) == 3


@pytest.mark.parametrize(
    "original",
    [
        Original(number="1", register="4"),
        Original(number="1", store="13"),
        Original(number="1", business_day=MORNING.date().replace(day=1)),
        Original(key="another", number="1"),
    ],
)
async def test_a_return_takes_nothing_from_a_sale_it_does_not_name(shop: Shop, original: Original) -> None:
    await shop.seed()
    await booked(shop, sale("1", member=MEMBER), 10)

    result = settled(await booked(shop, sale("2", -268_28, kind="return", original=original), 20))

    assert result.outcome == "at_centre"
    assert balance(shop).pending == 40


async def test_stages_in_any_order_and_number_count_once(shop: Shop) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await shop.seed()
    expected = 0
    for number in range(1, 15):
        final = sale(str(number), member=MEMBER)
        sights = [replace(final, status="suspended", total_minor=1), final]
        sights += [sight for sight in (final, replace(final, status="copy")) if chance.random() < 0.5]
        if voided := chance.random() < 0.3:
            sights.append(replace(final, status="voided"))
        chance.shuffle(sights)
        for sight in sights:
            assert (await booked(shop, sight, number)).fate != "conflict"
        expected += 0 if voided else 40
    assert balance(shop).pending == expected
    assert sum(claim.points for body in shop.bodies() for claim in body.claims) == expected


# ---- states of cards


def with_card(state: str) -> Member:
    return replace(ANA, identifiers=(Identifier(kind="card", code="TS1001", state=state),))  # type: ignore[arg-type]


async def test_a_card_that_was_blocked_since_it_was_scanned_goes_up_with_its_code_and_claims_nothing(
    shop: Shop,
) -> None:
    # given a card that was good when it was scanned
    await shop.seed([with_card("blocked")])
    await shop.scan("TS1001", 5)

    booked_ = settled(await booked(shop, sale("1"), 8))

    assert (booked_.outcome, booked_.points, booked_.code) == ("blocked", 0, "TS1001")
    [body] = shop.bodies()
    assert (body.member, body.claims) == (UNSET, ())
    assert body.receipt.member == MEMBER
    assert balance(shop).pending == 0


async def test_a_replaced_card_earns(shop: Shop) -> None:
    await shop.seed([with_card("replaced")])
    await shop.scan("TS1001", 5)

    assert settled(await booked(shop, sale("1"), 8)).points == 40


async def test_a_blocked_card_on_a_return_takes_back_all_the_same(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1001", 5)
    await booked(shop, sale("1"), 8)
    change = Change(pos=99, op="upsert", member="m-ana", row=with_card("blocked"))
    await shop.store.write(lambda writing: writing.apply_changes([change], 99, None))
    await shop.scan("TS1001", 9)

    back = sale("2", -268_28, kind="return", original=Original(number="1"))
    assert settled(await booked(shop, back, 12)).points == -40
    assert shop.bodies()[-1].member == "m-ana"


async def test_scans_are_joined_in_the_order_they_were_made_however_they_were_kept(shop: Shop) -> None:
    await shop.seed()
    await shop.scan("TS1002", 7)
    await shop.scan("TS1001", 5)

    assert settled(await booked(shop, sale("1"), 8)).code == "TS1002"


CAPPED = program_from_json(
    b'{"program":"test","currency":"RSD","time_zone":"Europe/Belgrade",'
    b'"earn":[{"id":"base","give":{"points":1,"per_minor":1000},"cap":{"day":50}}],'
    b'"stamps":[{"id":"card","every":5,"give":{"points":30}}]}'
)


async def test_a_sale_goes_on_from_what_the_centre_counted_and_from_own_sales(shop: Shop) -> None:
    # given a row that says what was used of the day's cap, and how many stamps are on the card
    used = {"base": {f"{MORNING:%Y-%m-%d}": 20, f"{MORNING:%Y-%m}": 20, "member": 20}}
    counted = replace(ANA, counters=Counters(used=used, stamps={"card": 3}))
    await shop.seed([counted], CAPPED)
    # when two sales are booked before the centre told of either
    first = settled(await booked(shop, sale("1", member=MEMBER), 10))
    second = settled(await booked(shop, sale("2", member=MEMBER), 20))
    # then the cap leaves 26 and then 4, the second fills the card, and none is an estimate
    assert [(first.points, first.estimated), (second.points, second.estimated)] == [(26, False), (4 + 30, False)]
    assert [[(claim.rule, claim.points) for claim in body.claims] for body in shop.bodies()] == [
        [("base", 26)],
        [("base", 4), ("card", 30)],
    ]


async def test_without_the_centres_counters_the_answer_is_an_estimate(shop: Shop) -> None:
    await shop.seed([ANA], CAPPED)
    assert settled(await booked(shop, sale("1", member=MEMBER), 10)).estimated


async def test_an_exchange_claims_what_it_takes_and_what_it_gives(shop: Shop) -> None:
    # given a sale of a gold member, and an exchange of it for something dearer
    await shop.seed()
    sold = sale("1", 100_00, member=MEMBER)
    await booked(shop, sold, 10)
    lines = (Line(position=1, amount_minor=-100_00), Line(position=2, amount_minor=160_00))
    swap = sale("2", 60_00, kind="exchange", lines=lines, member=MEMBER, original=Original(key=sold.key))
    result = settled(await booked(shop, swap, 20))
    # then both parts stand in the claims
    claims = [(claim.rule, claim.points) for claim in shop.bodies()[-1].claims]
    assert (claims, result.points) == ([("base/returned", -15), ("base", 24)], 9)
    # and where its sale is not known here, the centre says what it gives
    odd = replace(swap, key="", number="3", original=Original(number="unknown"))
    assert settled(await booked(shop, identified(odd, b""), 30)).outcome == "at_centre"
