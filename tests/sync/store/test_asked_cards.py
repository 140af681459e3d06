"""A grant that tells of a member whom this register did not know: for an ask about that card, and behind the feed."""

from __future__ import annotations

import secrets

from loyalty.member import Member
from sync.phone_codes import Grant, Part
from sync.store.asked_rows import Taken
from sync.store.store import Store
from sync.wire import Change
from tests.sync.store.samples import NOON, member, upsert
from tests.sync.store.spending import ANA, DEVICE, EPOCH, begun, standing
from tests.sync.store.test_asked import BY_PHONE, a_grant, asked, take

CARD, OTHER = b"the card 12.", b"another card"
TOLD = member("m-new", "CARD-9", confirmed=700)


def asked_about(store: Store, card: bytes = CARD) -> bytes:
    nonce = secrets.token_bytes(16)
    store.submit(lambda writing: writing.note_ask(nonce, card)).result()
    return nonce


def of_card(nonce: bytes, card: bytes = CARD, *, epoch: str = EPOCH) -> Grant:
    part = Part(allowance=BY_PHONE, points=500)
    return Grant(device=DEVICE, epoch=epoch, nonce=nonce, whose=card, parts=(part,), sealed=b"sealed")


def take_told(store: Store, grant: Grant, told: Member = TOLD) -> Taken:
    return store.submit(lambda writing: writing.take_grant(grant, told.member, told)).result()


def test_it_is_taken_once_with_the_member(store: Store) -> None:
    begun(store)
    grant = of_card(asked_about(store))

    assert take_told(store, grant) == "taken"

    assert store.member_by_code("CARD-9") == store.member("m-new")
    assert [(one.member, one.points) for one in store.held_allowances()] == [("m-new", 500)]
    assert take_told(store, grant) == "known"


def test_it_is_for_an_ask_about_that_card_alone(store: Store) -> None:
    begun(store)
    nonce = asked_about(store)
    refused = (
        of_card(nonce, OTHER),  # about another card
        of_card(asked_about(store, OTHER)),
        of_card(asked(store)),  # about a member who was known
        of_card(secrets.token_bytes(16)),  # not of this register
        of_card(nonce, epoch="e-0"),
    )

    assert [take_told(store, grant) for grant in refused] == ["not_asked"] * len(refused)
    # nor does what tells of nobody do for it
    assert take(store, a_grant(nonce)) == "not_asked"

    assert (store.member("m-new"), store.held_allowances()) == (None, ())
    assert take_told(store, of_card(nonce)) == "taken"


def test_nothing_is_known_of_an_ask_but_that_card(store: Store) -> None:
    nonce = asked_about(store)

    assert store.meta("phone-asks") == f'["{nonce.hex()} {CARD.hex()}"]'


def test_an_older_database_takes_nobody(store: Store) -> None:
    begun(store)
    grant = of_card(asked_about(store))
    store.submit(lambda writing: writing.doubt_spending("a copy", 1)).result()

    assert take_told(store, grant) == "unsure"

    assert store.member("m-new") is None


def test_the_feed_counts_before_it_whatever_its_position(store: Store) -> None:
    begun(store)
    take_told(store, of_card(asked_about(store)))

    fed = member("m-new", "CARD-9", confirmed=800)
    store.submit(lambda writing: writing.apply_changes((upsert(1, fed),), 1, NOON)).result()

    shown = store.member("m-new")
    assert shown is not None
    assert (shown.balance.confirmed, store.member_pos("m-new")) == (800, 1)


def test_of_who_is_held_the_code_alone_is_new(store: Store) -> None:
    begun(store)
    before, pos = store.member(ANA), store.member_pos(ANA)
    assert before is not None

    assert take_told(store, of_card(asked_about(store)), member(ANA, "CARD-9", confirmed=1)) == "taken"

    shown = store.member_by_code("CARD-9")
    assert shown is not None
    assert (shown.balance.confirmed, store.member_pos(ANA)) == (before.balance.confirmed, pos)
    assert standing(store).safe == 500


def test_who_left_is_held_again_and_who_was_erased_is_not(store: Store) -> None:
    begun(store)
    gone = [Change(pos=5, op="leave", member="m-new"), Change(pos=6, op="erase", member="m-other")]
    store.submit(lambda writing: writing.apply_changes(gone, 6, NOON)).result()

    assert take_told(store, of_card(asked_about(store)), member("m-other", "CARD-8")) == "not_asked"
    assert take_told(store, of_card(asked_about(store))) == "taken"

    assert (store.member("m-other"), store.member_by_code("CARD-9") is None) == (None, False)
