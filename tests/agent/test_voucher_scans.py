"""Vouchers at the counter: typed or scanned, they reach the sale that is open, and the page says what came of them."""

from __future__ import annotations

import msgspec
import pytest

from agent.counter_shapes import CodeTyped, RewardWanted, Shown
from agent.sale_shapes import BasketGiven, MemberGiven, SaleRefusedError
from drivers.receipts.given import GivenReceipt
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.voucher_codes import made_code, printed_code
from sync.store.reading import CODE_KEY
from sync.store.witness import witness_of
from tests.agent.shop import BORA, Shop
from tests.agent.test_counter import CARDS, RICH, Till
from tests.agent.test_sales import EPOCH, KEY, grant
from tests.agent.test_vouchers import CODE, PROGRAM, holding
from tests.agent.test_webhook import sale
from tests.sync.store.spending import open_epoch

WITH_CODE = msgspec.json.decode(msgspec.json.encode(PROGRAM))
SUMMER = {"id": "summer", "code": "SUMMER10", "discount_minor": 1000}


@pytest.fixture
async def till(shop: Shop) -> Till:
    """Ana stands at a till that holds one use of a voucher for whoever shows it."""
    program = msgspec.convert(WITH_CODE | {"rewards": [*WITH_CODE["rewards"], SUMMER]}, type(PROGRAM))
    await shop.seed((RICH, BORA), program)
    await shop.store.write(lambda writing: open_epoch(writing, EPOCH))
    await shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
    await holding(shop)
    made = Till(shop)
    await made.scan("TS1001")
    return made


async def opened(till: Till, number: int = 1) -> str:
    """A sale of a POS, told its basket and its member."""
    till.seconds += 1
    basket = msgspec.convert(sale(number), GivenReceipt)
    report = await till.sales.open(BasketGiven(basket=basket), None, by_page=False)
    await till.sales.attach(report.sale, MemberGiven(code="TS1001"), None)
    return report.sale


def notice(till: Till) -> tuple[str, str | None] | None:
    shown = till.page.notice
    return (shown.kind, shown.reason) if shown is not None else None


async def taken(till: Till, code: str) -> str:
    till.seconds += 1
    with pytest.raises(SaleRefusedError) as caught:
        await till.counter.take(code)
    return caught.value.reason


# ---- typed at the page


async def test_a_voucher_is_reserved_for_whoever_is_shown_and_its_receipt_confirms_it(till: Till) -> None:
    told = await till.counter.take(printed_code(CODE))

    assert (told.reward, told.points, told.discount_minor) == ("gift", 0, 5000)
    assert till.reserved == ["gift"]
    await till.sell(discount_minor=5000)
    assert till.page.sale is not None
    assert till.page.sale.reward == "confirmed"


async def test_a_code_of_the_program_counts_there_too_and_once(till: Till) -> None:
    await till.counter.find(CodeTyped(typed="summer-10", turn=till.turn))

    assert till.reserved == ["summer"]
    assert await taken(till, "SUMMER10") == "not_for_basket"


async def test_what_cannot_be_taken_says_why(till: Till, shop: Shop) -> None:
    await holding(shop, made_code((8).to_bytes), number=2, reward="twice")

    assert await taken(till, made_code((9).to_bytes)) == "not_offline"
    assert await taken(till, "WINTER10") == "no_voucher"
    # what one takes off that hangs on the goods, their receipt tells
    assert (await till.counter.take(made_code((8).to_bytes))).discount_minor is None
    assert await taken(till, made_code((8).to_bytes)) == "voucher_used"
    assert till.reserved == ["twice"]


async def test_a_members_own_voucher_is_shown_among_their_rewards(till: Till, shop: Shop) -> None:
    await holding(shop, made_code((8).to_bytes), number=2, member="m-ana")
    till.desk.publish()
    assert till.customer.member is not None
    [own] = [one for one in till.customer.member.rewards if one.reward == "gift"]
    assert (own.cost, own.times, own.safe, own.discount_minor) == (0, 1, True, 5000)

    await till.counter.reserve(RewardWanted(turn=till.turn, reward="gift"), None)

    assert till.reserved == ["gift"]
    assert [one.reward for one in till.customer.member.rewards] == ["r5"]


async def test_one_that_the_centre_is_asked_for_each_time_is_not_shown_as_safe(till: Till, shop: Shop) -> None:
    await holding(shop, made_code((8).to_bytes), number=2, member="m-ana", reward="asked")
    till.desk.publish()
    assert till.customer.member is not None
    [own] = [one for one in till.customer.member.rewards if one.reward == "asked"]
    assert (own.times, own.safe) == (1, False)

    with pytest.raises(SaleRefusedError, match="asked for it each time"):
        await till.counter.reserve(RewardWanted(turn=till.turn, reward="asked"), None)

    assert till.reserved == []


async def test_a_register_that_is_not_sure_shows_none(till: Till, shop: Shop) -> None:
    await holding(shop, made_code((8).to_bytes), number=2, member="m-ana")
    await shop.store.write(lambda writing: writing.doubt_spending("a copy", 9))
    till.desk.publish()

    assert till.customer.member is not None
    assert [one.reward for one in till.customer.member.rewards] == ["r5"]
    assert await taken(till, CODE) == "register_unsure"


# ---- scanned at the register's own scanner


async def test_a_scanned_voucher_counts_for_whoever_is_shown(till: Till) -> None:
    assert await till.scan(f"]C0{CODE}") == "voucher"

    assert till.reserved == ["gift"]
    assert notice(till) == ("voucher", None)
    # shown once more it is on this sale already
    await till.scan(CODE)
    assert notice(till) == ("voucher", "voucher_used")


async def test_it_counts_for_the_sale_that_a_pos_has_open_and_touched_last(till: Till) -> None:
    await opened(till, 1)
    last = await opened(till, 2)

    await till.scan("SUMMER10")

    report = await till.sales.look(last)
    assert [(one.reward, one.state) for one in report.redemptions] == [("summer", "reserved")]
    assert till.reserved == []


async def test_it_does_not_count_for_a_parked_sale_of_somebody_else(till: Till) -> None:
    parked = await opened(till, 1)
    till.seconds += 60
    await till.scan("TS1002")

    await till.scan(CODE)

    assert (await till.sales.look(parked)).redemptions == ()
    assert till.page.customer is not None
    assert till.page.customer.ending == "1002"


async def test_without_a_member_it_waits_for_nobody_and_says_so(till: Till) -> None:
    await till.counter.remove(Shown(turn=till.turn))

    await till.scan(CODE)

    assert notice(till) == ("voucher", "no_member")
    assert till.shop.store.reserved_redemptions() == ()


async def test_goods_and_members_are_no_vouchers(till: Till) -> None:
    assert await till.scan("4006381333931") == "goods"
    assert await till.scan("TS1002") == "member"
    # nor is a card that looks like one
    claimed = IdentificationRule(name="own", kind="card", prefixes=("V",))
    event = ScanEvent(scan=parse_scan(CODE, (CARDS, claimed)), at=till.now(), reader="r")
    await till.scans.take(event)
    await till.scans.settled()

    assert notice(till) is None
    assert till.shop.store.reserved_redemptions() == ()


async def test_a_register_whose_witness_cannot_be_written_says_that_it_did_not_take_it(till: Till) -> None:
    witness = witness_of(till.shop.store.path)
    witness.unlink(missing_ok=True)
    witness.mkdir()

    await till.scan(CODE)

    assert notice(till) == ("voucher", "silent")
    assert till.reserved == []


# ---- what a POS is told


async def test_a_members_own_voucher_is_an_offer_that_is_safe(till: Till, shop: Shop) -> None:
    await holding(shop, made_code((8).to_bytes), number=2, member="m-ana")
    await grant(shop, 1000, number=3)
    report = await till.sales.look(await opened(till))

    [own] = [one for one in report.rewards if one.reward == "gift"]
    assert (own.cost, own.times, own.safe_times, own.discount_minor, own.missing) == (0, 1, 1, 5000, ())
