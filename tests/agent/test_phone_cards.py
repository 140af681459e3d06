"""A card that nobody knows here, at a register without a network: a telephone says whose it is, and brings points."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.counter_shapes import CodeTyped, ForTurn
from agent.customer_screen import CustomerScreen
from agent.inspection import NotFoundError
from agent.sale_shapes import SaleRefusedError
from loyalty.member import Balance, Identifier
from loyalty.wallet_codes import made_wallet_code
from sync.phone_codes import Grant, Part, Told, grant_code, seal_told, whose_card, whose_points
from sync.wire import Change
from tests.agent.test_counter import Till, refusal
from tests.agent.test_phone_points import ALLOWANCE, AWAY, CENTRE, DEVICE, scanned, till
from tests.agent.test_sales import EPOCH, KEY

__all__ = ["till"]

CARD = "TS4004"
TOLD = Told(
    member="m-new", short_name="Nada N.", tier="gold", confirmed=700, pending=20, spendable=200, at=1_795_000_000
)


async def asks(till: Till, code: str = CARD) -> None:
    await till.scan(code)
    await till.counter.ask_by_phone(ForTurn(turn=till.turn))


def nonce_of(till: Till) -> bytes:
    kept: list[str] = msgspec.json.decode(till.shop.store.meta("phone-asks") or "[]")
    return bytes.fromhex(kept[-1].partition(" ")[0])


def a_grant(till: Till, told: Told = TOLD, **more: Any) -> str:
    nonce = more.get("nonce", nonce_of(till))
    facts: dict[str, Any] = {
        "device": DEVICE,
        "epoch": EPOCH,
        "nonce": nonce,
        "whose": whose_card(CARD, KEY),
        "parts": (Part(allowance=ALLOWANCE, points=500),),
        "sealed": seal_told(told, nonce, KEY),
    }
    return grant_code(Grant(**facts | more), CENTRE)


async def test_a_card_that_nobody_knows_here_is_asked_about_and_its_reward_given(till: Till) -> None:
    await till.scan(CARD)
    assert (till.customer.standing, till.customer.asks, till.customer.phone) == ("unknown", True, None)

    await till.counter.ask_by_phone(ForTurn(turn=till.turn))

    # page and customer view show one picture, and it stays the same one
    picture = till.customer.phone
    assert picture is not None
    assert msgspec.json.decode(till.desk.screen, type=CustomerScreen).phone == picture
    await till.counter.ask_by_phone(ForTurn(turn=till.turn))
    assert till.customer.phone == picture

    grant = a_grant(till)
    assert await scanned(till, grant) == ("granted", None)

    # then the member is known here, with what is safe
    member = till.customer.member
    assert member is not None
    assert till.page.customer is not None
    assert (till.page.customer.phone is None, member.name) == (True, "Nada N.")
    assert (member.tier, member.confirmed, member.pending) == ("gold", 700, 20)
    assert (member.spendable, member.safe_offline) == (700, 500)
    await till.reserve("five")
    assert till.reserved == ["five"]
    await till.sell(discount_minor=5000)

    # and it is good once
    await till.scan(CARD)
    assert await scanned(till, grant) == ("grant_known", None)
    assert [(one.points, one.used) for one in till.shop.store.held_allowances()] == [(500, 500)]


async def test_what_the_centre_tells_later_stands_in_its_place(till: Till) -> None:
    await asks(till)
    assert await scanned(till, a_grant(till)) == ("granted", None)
    fed = replace(
        AWAY,
        member="m-new",
        short_name="Nada Nova",
        identifiers=(Identifier(kind="card", code=CARD), Identifier(kind="card", code="TS4005")),
        balance=Balance(confirmed=700, spendable=200),
    )

    change = Change(pos=1, op="upsert", member="m-new", row=fed)
    await till.shop.store.write(lambda writing: writing.apply_changes([change], 1, None))

    known = till.shop.store.member_by_code(CARD)
    assert known is not None
    assert (known.short_name, len(known.identifiers)) == ("Nada Nova", 2)


async def test_it_is_taken_for_this_card_alone_while_it_is_shown(till: Till) -> None:
    await asks(till)
    whole = a_grant(till)
    key = "00" * 32
    refused = {
        a_grant(till, whose=whose_card("TS4005", KEY)): "grant_anothers",
        a_grant(till, whose=whose_points("m-new", KEY)): "grant_anothers",
        a_grant(till, sealed=seal_told(TOLD, nonce_of(till), key)): "grant_broken",
        a_grant(till, sealed=seal_told(TOLD, bytes(16), KEY)): "grant_broken",
        a_grant(till, nonce=bytes(16)): "grant_over",
        a_grant(till, epoch="e-0"): "grant_over",
        a_grant(till, device="d-other"): "grant_foreign",
        # what would do for a member's ask is none for a card's
        a_grant(till, sealed=b""): "grant_nobody",
    }
    for text, kind in refused.items():
        assert await scanned(till, text) == (kind, None)
    till.seconds += 1
    await till.scan("TS4005")
    assert await scanned(till, whole) == ("grant_anothers", None)
    await till.sell()
    assert await scanned(till, whole) == ("grant_nobody", None)
    assert till.shop.store.member("m-new") is None
    assert till.shop.store.held_allowances() == ()

    # nor does an ask about another card do for this one
    await asks(till, "TS4005")
    other = nonce_of(till)
    till.seconds += 1
    await till.scan(CARD)
    assert await scanned(till, a_grant(till, nonce=other)) == ("grant_over", None)
    assert till.shop.store.member("m-new") is None
    assert await scanned(till, whole) == ("granted", None)


async def test_a_member_who_is_known_by_another_card_keeps_what_is_known_of_them(till: Till) -> None:
    await asks(till)

    assert await scanned(till, a_grant(till, replace(TOLD, member="m-ana"))) == ("granted", None)

    known = till.shop.store.member_by_code(CARD)
    assert known is not None
    assert (known.member, known.short_name, known.tier) == ("m-ana", AWAY.short_name, AWAY.tier)
    assert till.shop.store.member_by_code("TS1001") == known


async def test_who_was_erased_does_not_come_back(till: Till) -> None:
    await till.shop.store.write(
        lambda writing: writing.apply_changes([Change(pos=9, op="erase", member="m-new")], 9, None)
    )
    await asks(till)

    assert await scanned(till, a_grant(till)) == ("grant_over", None)

    assert till.shop.store.held_allowances() == ()


async def test_only_what_may_spend_and_nobody_knows_is_asked_about(till: Till) -> None:
    earns = made_wallet_code((7).to_bytes, KEY, spends=False)
    for code, why in ((earns, "needs_card"), ("TS1001", "has_member")):
        till.seconds += 1
        await till.scan(code)
        assert not till.customer.asks
        with pytest.raises(SaleRefusedError) as error:
            await till.counter.ask_by_phone(ForTurn(turn=till.turn))
        assert refusal(error) == why
    with pytest.raises(NotFoundError):
        await till.counter.find(CodeTyped(typed="+381649998887"))

    # nor where the centre can be asked itself
    till.seconds += 1
    await till.scan(CARD)
    till.tie.is_online = True
    till.desk.publish()
    assert not till.customer.asks
    with pytest.raises(SaleRefusedError) as error:
        await till.counter.ask_by_phone(ForTurn(turn=till.turn))
    assert refusal(error) == "not_offline"
    assert till.shop.store.meta("phone-asks") is None
