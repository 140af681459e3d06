"""What the customer is shown: themselves, and nothing of the cashier's."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from agent.customer_screen import screen_of, shortened
from agent.view import CustomerView
from tests.browser.states import AFTER, ANA, IDLE, KNOWN, RECENT, RESERVED, SALE, STATES


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ana P.", "Ana P."),
        ("Ana Petrović", "Ana P."),
        ("Ana Marija Petrović", "Ana P."),
        ("  Ana  ", "Ana"),
        ("A" * 80, "A" * 24),
        ("", None),
        (None, None),
    ],
)
def test_a_name_is_first_name_and_initial(name: str | None, shown: str | None) -> None:
    assert shortened(name) == shown


def test_nothing_of_the_cashiers_is_told() -> None:
    secret = replace(
        STATES["attention"],
        customer=replace(KNOWN, member=replace(ANA, name="Ana Petrović", note="SECRET")),
        recent=RECENT,
        sale=replace(SALE, current=False),
    )

    told = msgspec.json.encode(screen_of(secret)).decode()

    for word in ("SECRET", "Petrović", "printer", "4711", "0077", "queued", "total", "r30"):
        assert word not in told


def test_the_customers_own_sale_and_rewards_are_told() -> None:
    sold = screen_of(replace(IDLE, customer=AFTER, sale=replace(SALE, reward="confirmed")))
    assert sold.sale is not None
    assert (sold.sale.points, sold.sale.given) == (106, True)

    waiting = screen_of(replace(IDLE, customer=RESERVED))
    assert waiting.member is not None
    assert [one.reward for one in waiting.member.reserved] == ["r5"]

    held = screen_of(STATES["unknown at the sale"])
    assert (held.standing, held.member) == ("unknown", None)
    assert held.sale is not None
    assert held.sale.points is None


@pytest.mark.parametrize(
    ("spoken", "language"),
    [(None, "hr"), ("sl", "sl"), ("sr-Cyrl", "sr-Cyrl"), ("sr-Latn-RS", "sr"), ("de-AT", "de"), ("hu", "hr")],
)
def test_a_member_is_spoken_to_in_their_own_language_where_there_is_one(spoken: str | None, language: str) -> None:
    state = replace(IDLE, language="hr", customer=replace(KNOWN, member=replace(ANA, language=spoken)))

    assert screen_of(state).language == language


def test_nobody_is_told_of_where_nobody_is_served() -> None:
    screen = screen_of(replace(IDLE, sale=replace(SALE, current=True)))

    assert (screen.standing, screen.member, screen.sale) == (None, None, None)
    assert screen_of(replace(IDLE, customer=CustomerView(standing="checking", ending="1"))).standing == "checking"
