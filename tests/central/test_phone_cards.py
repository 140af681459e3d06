"""A register that does not know a card asks by telephone whose it is: by the rules of a till, once, for one reward."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from central import cards, operations, phone_grants, scopes
from central.cards import CardNumber
from central.db import tables
from central.feed import place_changes
from central.phone_grants import NotByPhoneError
from central.scopes import ALL_STORES, DEFAULT
from loyalty.addresses import address_code
from loyalty.member import Balance
from loyalty.wallet_codes import made_wallet_code
from sync.phone_codes import MAX_CODE_CHARS, MAX_NAME_CHARS, Ask, Grant, Part, Told, grant_code, told_in, whose_card
from tests.central.redeeming import REWARD, UNIT, Shop, rewards
from tests.central.test_phone_grants import an_ask, code_of, set_aside

CARD = "TS0001"
DEAR = {"id": "dear", "title": "Dear", "cost": 400, "discount_minor": 2500, "offline": "allowance"}
GOLDEN = {"id": "golden", "cost": 50, "discount_minor": 100, "offline": "allowance", "when": {"tier_in": ["gold"]}}
ASKED_ONLINE = {"id": "online", "cost": 50, "discount_minor": 100, "offline": "refuse"}
CHEAP = {"id": REWARD, "cost": UNIT, "discount_minor": 500, "offline": "allowance"}


@pytest.fixture
def shop(data: Path) -> Iterator[Shop]:
    """A member with 500 points at register 1, who stands at register 2, which has no network."""
    made = Shop(data, rewards(tiers=[{"id": "gold"}], rewards=[CHEAP, DEAR, GOLDEN, ASKED_ONLINE]))
    made.sell(made.till("1"), 500)
    made.till("2")
    yield made
    made.database.close()


def by_card(shop: Shop, code: str = CARD, **more: Any) -> Ask:
    return an_ask(shop, shop.till("2"), member="", points=0, code=code, **more)


def tapped(shop: Shop, ask: Ask, reward: str = REWARD) -> Grant | str:
    """What choosing a reward on the telephone comes to: a grant, or the word for why there is none."""
    code = code_of(shop, shop.till("2"), ask)
    granted = shop.write(lambda connection: phone_grants.grant(connection, code, shop.now, reward))
    assert isinstance(granted, Grant | NotByPhoneError)
    return granted.why if isinstance(granted, NotByPhoneError) else granted


def looked(shop: Shop, ask: Ask) -> list[str] | str:
    """The rewards that the page has, or why it has none."""
    code = code_of(shop, shop.till("2"), ask)
    try:
        return [one.id for one in shop.read(lambda c: phone_grants.read(c, code, shop.now)).rewards]
    except NotByPhoneError as error:
        return error.why


def told_of(shop: Shop, granted: Grant | str) -> Told:
    assert isinstance(granted, Grant)
    return told_in(granted, shop.read(cards.code_key))


def test_the_register_is_told_of_the_member_with_the_points_of_the_reward_that_was_chosen(shop: Shop) -> None:
    till, ask = shop.till("2"), by_card(shop)

    # every reward that can be had by allowance, whoever it is
    assert looked(shop, ask) == [REWARD, "dear", "golden"]
    assert set_aside(shop) == []

    granted = tapped(shop, ask)

    assert isinstance(granted, Grant)
    assert (granted.device, granted.epoch, granted.nonce) == (till.device, till.epoch, ask.nonce)
    assert granted.whose == whose_card(CARD, shop.read(cards.code_key))
    assert granted.parts == (Part(allowance=ask.allowance, points=UNIT),)
    assert shop.balance() == Balance(confirmed=500, pending=0, spendable=400)
    told = told_of(shop, granted)
    facts = (told.member, told.confirmed, told.pending, told.spendable, told.at)
    assert facts == ("m1", 500, 0, 400, int(shop.now.timestamp()))

    # and what it spends is accepted
    assert shop.redeem(till, UNIT, (ask.allowance, UNIT)).code == "accepted"
    assert shop.balance() == Balance(confirmed=400, pending=0, spendable=400)


def test_an_ask_is_for_one_reward_whatever_is_chosen_afterwards(shop: Shop) -> None:
    ask = by_card(shop)
    first = tapped(shop, ask)
    assert isinstance(first, Grant)

    for other in (REWARD, "dear"):
        again = tapped(shop, ask, other)
        assert isinstance(again, Grant)
        assert again.parts == first.parts
    assert set_aside(shop) == [("2", UNIT)]


def test_the_dearer_one_is_had_where_there_are_the_points(shop: Shop) -> None:
    held, ask = shop.grant(shop.till("1"), 300), by_card(shop)

    assert tapped(shop, ask, "dear") == "elsewhere"
    shop.give_back(shop.till("1"), held.allowance, 300)
    granted = tapped(shop, ask, "dear")

    assert isinstance(granted, Grant)
    assert granted.parts == (Part(allowance=ask.allowance, points=400),)
    # what the register has not heard of is handed over again, and nothing more
    again = tapped(shop, by_card(shop), "dear")
    assert isinstance(again, Grant)
    assert again.parts == granted.parts
    assert set_aside(shop) == [("2", 400)]


def test_where_there_are_too_few_points_a_cheaper_one_can_be_chosen(shop: Shop) -> None:
    held, ask = shop.grant(shop.till("1"), 300), by_card(shop)
    shop.redeem(shop.till("1"), 300, (held.allowance, 300))

    assert tapped(shop, ask, "dear") == "few"
    assert isinstance(tapped(shop, ask), Grant)


@pytest.mark.parametrize("reward", ["golden", "online", "none", ""])
def test_what_is_not_for_the_member_or_not_by_allowance_is_refused(shop: Shop, reward: str) -> None:
    assert tapped(shop, by_card(shop), reward) == "other"
    assert set_aside(shop) == []


def test_cards_are_judged_as_at_a_till(shop: Shop) -> None:
    key = shop.read(cards.code_key)
    earns, spends = (made_wallet_code(secrets.token_bytes, key, spends=spends) for spends in (False, True))
    number = address_code("phone", "+381641234567", key) or ""

    def given(connection: Any) -> None:
        kinds = ((earns, "wallet"), (spends, "wallet"), (number, "phone"))
        for code, kind in kinds:
            cards.unite(connection, [CardNumber(code=code, kind=kind)], "m1", shop.now)  # type: ignore[arg-type]
        cards.insert_new(connection, [([CardNumber(code="TS7777")], None)], shop.now)

    shop.write(given)
    refused = {"TS9999": "stranger", "TS7777": "stranger", earns: "card", number: "card"}
    for code, why in refused.items():
        assert looked(shop, by_card(shop, code)) == why
        assert tapped(shop, by_card(shop, code)) == why
    assert isinstance(tapped(shop, by_card(shop, spends)), Grant)

    shop.write(lambda c: cards.block(c, CARD, "lost", shop.now))
    assert tapped(shop, by_card(shop)) == "blocked"
    assert len(set_aside(shop)) == 1


def test_a_card_that_became_anothers_brings_nothing_of_before(shop: Shop) -> None:
    ask = by_card(shop)
    assert isinstance(tapped(shop, ask), Grant)

    # given what nobody can do here: a card is never moved silently, and a merge takes its allowances along
    shop.sell(shop.till("1"), 500, code="TS0002")
    numbers = tables.identifiers
    shop.write(lambda c: c.execute(numbers.update().where(numbers.c.code == CARD).values(member="m2")))

    assert tapped(shop, ask) == "over"


def test_an_erased_member_is_nobody(shop: Shop) -> None:
    ask = by_card(shop)
    shop.write(lambda c: operations.erase_member(c, "m1", shop.now))

    assert tapped(shop, ask) in {"stranger", "nobody"}
    assert set_aside(shop) == []


def test_the_store_holds_the_member_from_then_on(shop: Shop) -> None:
    shop.till("2")
    shop.write(lambda c: scopes.set_policy(c, ALL_STORES, DEFAULT, shop.now))
    shop.write(lambda c: c.exec_driver_sql("DELETE FROM scope_members"))
    assert not shop.read(lambda c: scopes.held_at(c, "12", "m1"))

    assert isinstance(tapped(shop, by_card(shop)), Grant)
    shop.write(lambda c: place_changes(c, shop.now))

    assert shop.read(lambda c: scopes.held_at(c, "12", "m1"))


def test_what_is_told_is_for_registers_alone_and_small_enough_for_a_scanner(shop: Shop) -> None:
    till, key = shop.till("2"), shop.read(cards.code_key)
    name = "Константин" * 8
    shop.write(lambda c: c.exec_driver_sql(f"UPDATE members SET short_name = '{name}' WHERE id = 'm1'"))
    granted = tapped(shop, by_card(shop))
    assert isinstance(granted, Grant)
    assert told_in(granted, key).short_name == name[:MAX_NAME_CHARS]

    class Signed:
        def sign(self, data: bytes) -> bytes:
            self.data = data
            return bytes(64)

    signer = Signed()
    assert len(grant_code(granted, signer)) < MAX_CODE_CHARS
    assert b"m1" not in signer.data
    assert name[:3].encode() not in signer.data
    assert till.device not in granted.sealed.hex()
