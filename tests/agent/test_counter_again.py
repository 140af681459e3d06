"""The page's calls that are repeated, and what comes late: a receipt for who was late, and who joins after the sale."""

from __future__ import annotations

import msgspec
import pytest

from agent.counter_shapes import ForTurn, JoinHere, RewardWanted
from agent.problem import MalformedBodyError
from agent.profiles import EditRequest, GivenCode, JoinRequest
from agent.sale_shapes import SaleRefusedError
from loyalty.receipt import MemberReference
from sync.store.reading import CODE_KEY, MAX_LISTED
from tests.agent.shop import Shop
from tests.agent.test_counter import Till, refusal, till
from tests.agent.test_sales import KEY
from tests.agent.test_vouchers import holding, stamped

__all__ = ["till"]


def entries(shop: Shop, kind: str) -> int:
    return sum(entry.kind == kind for entry in shop.store.queue(limit=MAX_LISTED))


async def held(till: Till, code: str = "TS900000003") -> str:
    """A sale whose points are kept for a card that is nobody's; the key of its receipt."""
    await till.scan(code)
    key = await till.sell()
    assert till.page.sale is not None
    assert till.page.sale.outcome == "held"
    return key


async def test_joining_again_under_its_key_is_told_the_first_answer_whoever_is_shown_then(till: Till) -> None:
    await till.shop.store.write(lambda writing: writing.set_meta(CODE_KEY, KEY))
    await till.scan("TS900000001")
    iva = JoinHere(turn=till.turn, short_name="Iva K.", phone="+381699876543")
    first = await till.joining.join(iva, "call-1")
    assert await till.joining.join(iva, "call-1") == first
    await till.scan("TS900000002")
    assert await till.joining.join(iva, "call-1") == first

    # and where the card was one more of hers
    hers = JoinHere(turn=till.turn, phone="+381699876543", known=True)
    with pytest.raises(SaleRefusedError):
        await till.joining.join(JoinHere(turn=till.turn, phone="+381699876543"), None)
    known = await till.joining.join(hers, "call-2")
    await till.scan("TS1002")
    assert await till.joining.join(hers, "call-2") == known

    assert (entries(till.shop, "join"), entries(till.shop, "alias")) == (1, 1)
    # another body takes another key
    with pytest.raises(MalformedBodyError):
        await till.joining.join(JoinHere(turn=till.turn, short_name="Ivo"), "call-1")


async def test_redeeming_again_under_its_key_is_told_the_first_answer_also_after_a_restart(
    till: Till, shop: Shop
) -> None:
    await till.scan("TS1001")
    five = RewardWanted(turn=till.turn, reward="five")
    first = await till.counter.reserve(five, "call-1")

    # when the page asks again, at an agent that knows of no turn
    again = Till(shop)
    assert again.page.customer is None
    assert await again.counter.reserve(five, "call-1") == first
    with pytest.raises(SaleRefusedError) as error:
        await again.counter.reserve(five, "call-2")
    assert refusal(error) == "not_shown"

    # then it is reserved once
    again.seconds = till.seconds
    await again.scan("TS1001")
    assert again.reserved == ["five"]


async def test_giving_a_late_member_their_receipt_again_is_told_the_first_answer(till: Till) -> None:
    first, second = await till.sell(), await till.sell()
    await till.scan("TS1001")
    given = ForTurn(turn=till.turn)
    told = await till.counter.attach(first, given, "call-1")
    sale = till.page.sale

    assert await till.counter.attach(first, given, "call-1") == told
    assert till.page.sale == sale
    with pytest.raises(MalformedBodyError):
        await till.counter.attach(second, given, "call-1")
    assert entries(till.shop, "attach") == 1


async def test_what_was_reserved_for_a_late_member_comes_back_with_their_receipt(till: Till) -> None:
    # given a reward for a member who then turns out to be late
    first, second = await till.sell(), await till.sell()
    await till.scan("TS1001")
    before = till.customer.member
    await till.reserve("five")

    # when
    told = await till.counter.attach(first, ForTurn(turn=till.turn), None)

    # then nothing is withheld
    assert told.released
    assert before is not None
    assert till.customer.member is not None
    assert till.customer.member.spendable == before.spendable
    await till.scan("TS1001")
    assert (till.reserved, till.offered["five"]) == ([], 2)
    # where nothing was reserved nothing is told of it
    assert not (await till.counter.attach(second, ForTurn(turn=till.turn), None)).released


async def test_who_joins_after_their_receipt_has_its_points_at_once(till: Till) -> None:
    await held(till)
    assert (till.customer.standing, till.customer.turn) == ("unknown", None)

    told = await till.joining.join(JoinHere(turn=None, short_name="Mia"), "call-1")

    member, sale = till.customer.member, till.page.sale
    assert member is not None
    assert sale is not None
    assert (member.name, member.pending + member.spendable) == ("Mia", 26)
    assert (sale.outcome, sale.points, sale.current) == ("points", 26, True)
    # once, however often it is asked, and no entry but that they joined
    assert await till.joining.join(JoinHere(turn=None, short_name="Mia"), "call-1") == told
    assert (entries(till.shop, "join"), entries(till.shop, "attach")) == (1, 0)
    await till.scan("TS900000003")
    assert till.customer.member is not None
    assert till.customer.member.pending + till.customer.member.spendable == 26


async def test_every_receipt_that_was_kept_for_a_card_is_its_members_however_they_join(till: Till) -> None:
    # given two sales with one new card, one with another, and a scan for the next sale
    await held(till, "TS900000003")
    await held(till, "TS900000003")
    await held(till, "TS900000004")
    await till.scan("TS900000003")
    sale, turn = till.page.sale, till.turn

    # when they join by the POS
    await till.profiles.join(JoinRequest(short_name="Mia", code=GivenCode(code="TS900000003")), None)
    till.desk.publish()

    # then both are theirs, the sale that is told is the other card's still, and whoever is shown stays the customer
    member = till.customer.member
    assert member is not None
    assert (member.pending + member.spendable, till.turn) == (52, turn)
    assert till.page.sale == sale
    # and the other card is one more of a member's
    await till.profiles.edit("TS900000003", EditRequest(code=GivenCode(code="TS900000004")), None)
    till.desk.publish()
    member = till.customer.member
    assert member is not None
    assert member.pending + member.spendable == 78


async def test_nobody_joins_for_a_sale_that_is_not_shown_any_more(till: Till) -> None:
    await held(till)
    await till.scan("TS1002")
    for turn in (None, -1):
        with pytest.raises(SaleRefusedError) as error:
            await till.joining.join(JoinHere(turn=turn, short_name="Mia"), None)
        assert refusal(error) == "not_shown"
    await till.sell()
    with pytest.raises(SaleRefusedError) as error:  # it has a member
        await till.joining.join(JoinHere(turn=None, short_name="Mia"), None)
    assert refusal(error) == "has_member"
    await till.sell()
    with pytest.raises(SaleRefusedError) as error:  # it has no card
        await till.joining.join(JoinHere(turn=None, short_name="Mia"), None)
    assert refusal(error) == "not_shown"


async def test_a_pos_hears_what_the_sale_gives_once_its_card_has_a_member(till: Till) -> None:
    await held(till)
    reached, _ = till.desk.events.after(None)
    await till.joining.join(JoinHere(turn=None, short_name="Mia"), None)
    _, messages = till.desk.events.after(reached)
    told = [msgspec.json.decode(message) for message in messages]
    assert [one["sale"]["points"] for one in told if one["type"] == "receipt"] == [26]


async def test_a_sale_of_a_card_that_is_nobodys_names_who_was_served(till: Till) -> None:
    assert till.desk.served() is None
    await held(till)
    served = till.desk.served()
    assert isinstance(served, MemberReference)
    assert served.code == "TS900000003"
    till.seconds += 120
    assert till.desk.served() is None


async def test_a_full_card_brings_its_reward_once_at_a_time_however_many_are_full(shop: Shop) -> None:
    # given two full cards, each for money that could be taken off twice, and a use of each set aside here
    await stamped(shop, 23)
    await holding(shop, member="m-ana", reward="free")
    till = Till(shop)
    await till.scan("TS1001")

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("free", times=2)

    assert (refusal(error), "once" in str(error.value)) == ("not_for_basket", True)
    await till.reserve("free")
    assert till.reserved == ["free"]
