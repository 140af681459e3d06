"""An exchange is cut into a return and a sale, each with the sums that go with its lines."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from loyalty.exchange import came_back_whole, parts_of
from loyalty.receipt import Discount, Line, Receipt, Tax, Tender
from tests.loyalty.receipts import refund, sale

SHIRT, SHOES = Line(position=1, amount_minor=-3000), Line(position=2, amount_minor=8000)
PENNY, PENNY_BACK = Line(position=3, amount_minor=1), Line(position=4, amount_minor=-1)
FREE = Line(position=5, amount_minor=0)
VOIDED = Line(position=6, amount_minor=700, voided=True)
EXCHANGE = Receipt(
    key="k1",
    kind="exchange",
    currency="EUR",
    total_minor=4700,
    lines=(SHIRT, SHOES, PENNY, PENNY_BACK, FREE, VOIDED),
    discounts=(Discount(amount_minor=500), Discount(amount_minor=-150), Discount(amount_minor=0)),
    taxes=(
        Tax(label="A", amount_minor=1300),
        Tax(label="A", amount_minor=-500),
        Tax(label="B", amount_minor=70, included=False),
        Tax(label="B", amount_minor=-20, included=False),
        Tax(label="C", amount_minor=0),
    ),
    tenders=(
        Tender(kind="cash", amount_minor=5000),
        Tender(kind="points", amount_minor=-300),
        Tender(kind="card", amount_minor=0),
    ),
)


def test_each_part_has_its_own_lines_and_sums() -> None:
    sold, returned = parts_of(EXCHANGE)

    assert sold == replace(
        EXCHANGE,
        kind="sale",
        total_minor=8000 + 1 - 500 + 70,
        lines=(SHOES, PENNY),
        discounts=(Discount(amount_minor=500),),
        taxes=(Tax(label="A", amount_minor=1300), Tax(label="B", amount_minor=70, included=False)),
        tenders=(Tender(kind="cash", amount_minor=5000),),
    )
    assert returned == replace(
        EXCHANGE,
        kind="return",
        total_minor=-3000 - 1 + 150 - 20,
        lines=(SHIRT, PENNY_BACK),
        discounts=(Discount(amount_minor=-150),),
        taxes=(Tax(label="A", amount_minor=-500), Tax(label="B", amount_minor=-20, included=False)),
        tenders=(Tender(kind="points", amount_minor=-300),),
    )


def test_a_penny_of_each_sum_goes_with_its_part() -> None:
    pennies = replace(
        EXCHANGE,
        lines=(PENNY, PENNY_BACK),
        discounts=(Discount(amount_minor=1), Discount(amount_minor=-1)),
        taxes=(Tax(amount_minor=1), Tax(amount_minor=-1)),
        tenders=(Tender(kind="cash", amount_minor=1), Tender(kind="cash", amount_minor=-1)),
    )

    for part, amount in zip(parts_of(pennies), (1, -1), strict=True):
        assert part is not None
        assert [line.amount_minor for line in part.lines] == [amount]
        assert [discount.amount_minor for discount in part.discounts] == [amount]
        assert [tax.amount_minor for tax in part.taxes] == [amount]
        assert [tender.amount_minor for tender in part.tenders] == [amount]


@pytest.mark.parametrize(
    ("lines", "kinds"), [((SHOES, FREE), ("sale", None)), ((SHIRT, VOIDED), (None, "return")), ((FREE,), (None, None))]
)
def test_a_part_without_lines_is_none(lines: tuple[Line, ...], kinds: tuple[str | None, str | None]) -> None:
    parts = parts_of(replace(EXCHANGE, lines=lines))

    assert tuple(part and part.kind for part in parts) == kinds


@pytest.mark.parametrize(("total", "kinds"), [(100, ("sale", None)), (0, ("sale", None)), (-100, (None, "return"))])
def test_without_lines_the_total_says_which_it_is(total: int, kinds: tuple[str | None, str | None]) -> None:
    parts = parts_of(replace(EXCHANGE, lines=(), total_minor=total))

    assert tuple(part and part.kind for part in parts) == kinds


def test_a_sale_and_a_return_are_whole_whatever_the_signs_of_their_lines() -> None:
    bought, back = (replace(each, lines=(SHIRT, SHOES)) for each in (sale("1", 100), refund("2", "1", 100)))

    assert parts_of(bought) == (bought, None)
    assert parts_of(back) == (None, back)


def test_a_sale_came_back_whole_when_its_money_did_and_all_its_pieces() -> None:
    coffee, cake = Line(position=1, amount_minor=0, description="coffee"), Line(position=2, amount_minor=50)
    bought, gift = sale("1", lines=(coffee, cake)), sale("2", lines=(coffee,))
    free = replace(refund("3", "1", 0), lines=(coffee,))
    paid = refund("4", "1", 50)

    assert not came_back_whole(bought, [paid])
    assert not came_back_whole(bought, [free])
    assert came_back_whole(bought, [paid, free])
    assert came_back_whole(bought, [replace(paid, lines=(coffee, *paid.lines))])
    # a return that does not say of which goods it is goes by its money
    assert came_back_whole(bought, [replace(paid, lines=())])
    assert came_back_whole(gift, [replace(free, total_minor=0)])
    assert not came_back_whole(gift, [replace(free, total_minor=0, lines=())])
    # what was cancelled at once is no piece
    cancelled = sale("5", lines=(coffee, cake, replace(cake, position=3), replace(cake, position=4, amount_minor=-50)))
    assert came_back_whole(cancelled, [paid, free])
