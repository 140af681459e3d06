"""Points that a member's telephone has set aside for a register: once, for it alone, and never more than there are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from central import allowance_desk, cards, devices, operations, phone_grants
from central.db import tables
from central.phone_grants import NotByPhoneError
from loyalty.member import Balance
from sync.phone_codes import Ask, Grant, Part, ask_code, whose_points
from tests.central.redeeming import Shop, rewards
from tests.central.till import Till

POINTS = 300


@pytest.fixture
def shop(data: Path) -> Iterator[Shop]:
    """A member with 500 points at register 1, who stands at register 2."""
    made = Shop(data, rewards())
    made.sell(made.till("1"), 500)
    made.till("2")
    yield made
    made.database.close()


def an_ask(shop: Shop, till: Till, **more: Any) -> Ask:
    facts: dict[str, Any] = {
        "device": till.device,
        "epoch": till.epoch,
        "member": "m1",
        "points": POINTS,
        "after": 0,
        "through": len(till.sent),
        "nonce": secrets.token_bytes(16),
    }
    return Ask(**facts | more)


def code_of(shop: Shop, till: Till, ask: Ask) -> str:
    return ask_code(ask, till.key, shop.read(cards.code_key), secrets.token_bytes)


def asked(shop: Shop, till: Till, ask: Ask) -> Grant | str:
    """What the tap on a telephone comes to: a grant, or the word for why there is none."""
    return tapped(shop, code_of(shop, till, ask))


def tapped(shop: Shop, code: str) -> Grant | str:
    granted = shop.write(lambda connection: phone_grants.grant(connection, code, shop.now))
    assert isinstance(granted, Grant | NotByPhoneError)
    return granted.why if isinstance(granted, NotByPhoneError) else granted


def parts_of(granted: Grant | str) -> tuple[Part, ...]:
    assert isinstance(granted, Grant)
    return granted.parts


def set_aside(shop: Shop) -> list[tuple[str, int]]:
    table = tables.allowances
    query = table.select().where(table.c.state == "open").order_by(table.c.granted_at, table.c.id)
    names = {till.device: name for name, till in shop.tills.items()}
    return [(names[row.device], row.granted) for row in shop.read(lambda c: c.execute(query).all())]


def test_an_ask_is_one_allowance_however_often_it_is_asked(shop: Shop) -> None:
    till, code = shop.till("2"), code_of(shop, shop.till("2"), ask := an_ask(shop, shop.till("2")))

    # looking grants nothing
    assert shop.read(lambda c: phone_grants.read(c, code, shop.now)).ask == ask
    assert set_aside(shop) == []

    granted = tapped(shop, code)

    # then it is for this register, epoch and member, and the same again by whoever asks
    key = shop.read(cards.code_key)
    assert granted == Grant(
        device=till.device,
        epoch=till.epoch,
        nonce=ask.nonce,
        whose=whose_points("m1", key),
        parts=(Part(allowance=ask.allowance, points=POINTS),),
    )
    assert tapped(shop, code) == granted
    assert tapped(shop, code_of(shop, till, ask)) == granted
    assert set_aside(shop) == [("2", POINTS)]
    assert shop.balance() == Balance(confirmed=500, pending=0, spendable=200)

    # and once the register asks itself, it is the same one
    [told] = shop.ask(till).allowances
    assert (told.allowance, told.points, told.epoch) == (ask.allowance, POINTS, till.epoch)


def test_what_other_registers_hold_is_asked_back_and_granted_then(shop: Shop) -> None:
    held, till = shop.grant(shop.till("1"), 400), shop.till("2")
    ask = an_ask(shop, till)

    assert asked(shop, till, ask) == "elsewhere"

    assert bool(shop.allowance(held.allowance).recalled)
    shop.give_back(shop.till("1"), held.allowance, 400)
    assert [part.points for part in parts_of(asked(shop, till, ask))] == [POINTS]


def test_points_on_their_way_are_handed_over_before_more_is_set_aside(shop: Shop) -> None:
    # given a register that was granted 200 points and did not hear of it any more
    till = shop.till("2")
    lost = shop.ask(till, want=200).allowances[0]

    parts = parts_of(asked(shop, till, ask := an_ask(shop, till)))

    assert [(part.allowance, part.points) for part in parts] == [(ask.allowance, 100), (lost.allowance, 200)]
    # and where they are enough, nothing is
    heard = an_ask(shop, till, points=200)
    assert parts_of(asked(shop, till, heard)) == (Part(allowance=lost.allowance, points=200),)
    assert sorted(set_aside(shop)) == [("2", 100), ("2", 200)]


def test_what_came_by_telephone_before_is_not_handed_over_in_place_of_more(shop: Shop) -> None:
    till = shop.till("2")
    before = parts_of(asked(shop, till, an_ask(shop, till, points=200)))[0]

    # they are spent, and nobody was told: the next ask names them
    parts = parts_of(asked(shop, till, ask := an_ask(shop, till, has=(before.allowance,))))

    assert parts == (Part(allowance=ask.allowance, points=POINTS),)
    assert asked(shop, till, an_ask(shop, till, has=(before.allowance, ask.allowance))) == "few"


def test_an_ask_is_over_once_the_register_told_of_anything_after_it(shop: Shop) -> None:
    till, other = shop.till("2"), shop.till("1")
    ask = an_ask(shop, till)
    part = parts_of(asked(shop, till, ask))[0]

    # what it spent is told
    shop.redeem(till, POINTS, (part.allowance, part.points))
    assert asked(shop, till, ask) == "over"
    assert set_aside(shop) == []

    # so it is in another epoch, and of an epoch that is another register's
    late = an_ask(shop, till)
    shop.open_epoch(till)
    assert asked(shop, till, late) == "over"
    assert asked(shop, till, an_ask(shop, till, epoch=other.epoch)) == "over"


def test_what_was_written_off_is_not_granted_again(shop: Shop) -> None:
    till = shop.till("2")
    ask = an_ask(shop, till)
    part = parts_of(asked(shop, till, ask))[0]

    shop.write(lambda c: allowance_desk.write_off(c, [part.allowance], "lost", shop.now, even_live=True))

    assert asked(shop, till, ask) == "used"


def test_only_the_registers_own_key_asks_for_it(shop: Shop) -> None:
    till, other = shop.till("2"), shop.till("1")
    ask, key = an_ask(shop, till), shop.read(cards.code_key)
    made_up = (
        ask_code(ask, other.key, key, secrets.token_bytes),
        ask_code(ask, Ed25519PrivateKey.generate(), key, secrets.token_bytes),
        ask_code(ask, till.key, "00" * 32, secrets.token_bytes),
        ask_code(replace(ask, device="d-none"), till.key, key, secrets.token_bytes),
        code_of(shop, till, ask)[:-8],
        "A",
        "",
    )

    assert [tapped(shop, code) for code in made_up] == ["code"] * len(made_up)
    assert set_aside(shop) == []


def test_a_register_that_may_spend_nothing_is_granted_nothing(shop: Shop) -> None:
    till = shop.till("2")
    ask = an_ask(shop, till)

    # a centre that was restored waits for what registers hold
    shop.write(lambda c: c.execute(tables.devices.update().values(owes_report=1)))
    assert asked(shop, till, ask) == "restored"
    shop.write(lambda c: c.execute(tables.devices.update().values(owes_report=0)))

    # two machines under one identity
    shop.write(lambda c: c.execute(tables.epochs.insert().values(**another_epoch(shop, till))))
    assert asked(shop, till, ask) == "till"
    shop.write(lambda c: c.execute(tables.epochs.delete().where(tables.epochs.c.epoch == "e-other")))

    shop.write(lambda c: devices.revoke(c, till.device, shop.now))
    assert asked(shop, till, ask) == "till"
    assert set_aside(shop) == []


def another_epoch(shop: Shop, till: Till) -> dict[str, Any]:
    table = tables.epochs
    row = shop.read(lambda c: c.execute(table.select().where(table.c.epoch == till.epoch)).one())
    return {**row._mapping, "epoch": "e-other", "request_id": "other"}


def test_a_member_who_is_gone_has_nothing_and_one_who_is_another_now_has_theirs(shop: Shop) -> None:
    till = shop.till("2")
    assert asked(shop, till, an_ask(shop, till, member="nobody")) == "nobody"

    # merged: the register that asked knows only the id of before
    shop.write(lambda c: operations.merge_members(c, "m1", "m2", "one person", shop.now))
    ask = an_ask(shop, till)
    granted = asked(shop, till, ask)
    assert [part.points for part in parts_of(granted)] == [POINTS]
    assert isinstance(granted, Grant)
    assert granted.whose == whose_points("m1", shop.read(cards.code_key))
    assert shop.redeem(till, POINTS, (ask.allowance, POINTS)).code == "accepted"
    assert shop.balance("m2") == Balance(confirmed=200, pending=0, spendable=200)

    shop.write(lambda c: operations.erase_member(c, "m2", shop.now))
    assert asked(shop, till, an_ask(shop, till, points=100)) == "nobody"
