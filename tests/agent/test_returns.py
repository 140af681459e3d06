"""Returns that a POS tells, over real HTTP and into a real store: what they take back is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.agent.shop import Shop
from tests.agent.test_webhook import key, posting, sale

RETURNS = "/v1/returns"
ORIGINAL = {"number": "1", "store": "12", "register": "3", "business_day": "2026-11-22"}
Post = Callable[..., Awaitable[tuple[int, Any]]]


def returned(number: int, minor: int = -26828, **facts: Any) -> dict[str, Any]:
    back: dict[str, Any] = {
        "kind": "return",
        "original": ORIGINAL,
        "total_minor": minor,
        "tenders": [{"kind": "cash", "amount_minor": minor}],
        "lines": [{"position": 1, "description": "KAFA", "amount_minor": minor}],
    }
    return sale(number, **(back | facts))


async def sold(shop: Shop, post: Post) -> int:
    """A sale of Ana's; returns what it gave."""
    await shop.seed()
    await shop.scan("TS1001", 5)
    await post(sale(1))
    given = shop.settlements[-1].points
    assert given > 1
    return given


async def test_a_return_says_what_it_took_back_and_of_whom(shop: Shop) -> None:
    async with posting(shop) as post:
        given = await sold(shop, post)
        answer = await post(returned(2), "call-1", path=RETURNS)
        again = await post(returned(2), "call-1", path=RETURNS)

    assert answer == again
    told = {"receipt": key(2), "fate": "booked", "points": -given, "ending": "1001", "quarantined": []}
    assert answer == (200, told)
    assert [body.receipt.kind for body in shop.bodies()] == ["sale", "return"]


async def test_what_was_told_as_a_receipt_before_is_not_taken_back_twice(shop: Shop) -> None:
    async with posting(shop) as post:
        await sold(shop, post)
        await post(returned(2))
        _, answer = await post(returned(2), path=RETURNS)

    assert (answer["fate"], answer["points"]) == ("seen_again", None)
    assert len(shop.bodies()) == 2


async def test_of_a_sale_that_is_elsewhere_the_register_cannot_tell(shop: Shop) -> None:
    async with posting(shop) as post:
        await sold(shop, post)
        status, answer = await post(returned(2, original={**ORIGINAL, "number": "77"}), path=RETURNS)

    assert (status, answer["fate"], answer["points"], answer["ending"]) == (200, "booked", None, None)


async def test_a_return_that_cannot_be_booked_is_kept_for_a_person(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with posting(shop) as post:
        await sold(shop, post)

        def fails(*_: object, **__: object) -> None:
            raise RuntimeError("no reader foresaw this")

        monkeypatch.setattr("agent.booking.evaluation_of", fails)
        first = await post(returned(2), "call-1", path=RETURNS)
        again = await post(returned(2), "call-1", path=RETURNS)

    assert first == again
    assert (first[0], first[1]["receipt"], first[1]["points"]) == (200, None, None)
    assert first[1]["quarantined"][0].startswith("not_booked")
    assert shop.store.count_quarantined() == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (sale(2), "of `kind` `return`"),
        ({"receipts": [returned(2), returned(3)]}, "Give one receipt"),
        (returned(2, original={"store": "12"}), "Name the sale"),
        ({name: value for name, value in returned(2).items() if name != "original"}, "Name the sale"),
        (returned(2, lines=[]), "what comes back"),
    ],
)
async def test_a_call_that_names_no_sale_or_no_goods_is_told_what_to_say(shop: Shop, body: Any, said: str) -> None:
    async with posting(shop) as post:
        await sold(shop, post)
        status, answer = await post(body, path=RETURNS)

    assert (status, said in answer["detail"]) == (422, True)
    assert len(shop.bodies()) == 1


async def test_a_key_of_a_receipt_is_another_than_that_of_a_return(shop: Shop) -> None:
    async with posting(shop) as post:
        await sold(shop, post)
        _, as_receipt = await post(returned(2), "call-1")
        _, as_return = await post(returned(2), "call-1", path=RETURNS)

    assert as_receipt["receipts"][0]["key"] == as_return["receipt"] == key(2)
