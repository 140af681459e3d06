"""A change of templates loses no receipt, and no fact of one, that was read right before."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from drivers.receipts.port import DecodeOptions
from drivers.receipts.retrial import Loss, StoredCapture, first_loss
from drivers.receipts.template import template_from

SALE = """\
        CORNER SHOP
Receipt 4711           22.11.2026 09:07
Operator Ana
Bread                              3.00
Milk                               1.20
TOTAL EUR                          4.20
CASH                               4.20
"""
# No reader that comes along knows these words.
FOREIGN = """\
        KIOSKI
Kuitti 17              22.11.2026 09:07
Leipä                              3.00
Maito                              1.20
YHTEENSÄ EUR                       4.20
KÄTEINEN                           4.20
"""
FINNISH = """
name = "kioski"
dates = ["dd.mm.yyyy"]
[recognise]
all = ["kioski"]
[labels]
number = ["kuitti"]
[items]
lines = ["{name} {amount}"]
[total]
words = ["yhteensä"]
[tenders]
cash = ["käteinen"]
"""
# It takes the corner shop's paper for its own, and the name of its cashier for nothing.
GREEDY = """
name = "greedy"
dates = ["dd.mm.yyyy"]
[recognise]
all = ["corner shop"]
[labels]
number = ["receipt"]
[items]
lines = ["{name} {amount}"]
[total]
words = ["total"]
[tenders]
cash = ["cash"]
"""
OWN = DecodeOptions(time_zone="Europe/Helsinki")


def with_template(text: str) -> DecodeOptions:
    return replace(OWN, templates=(template_from(text.encode(), "a test"),))


def captured(text: str) -> list[StoredCapture]:
    return [StoredCapture(name="monday.txt", document=text.encode())]


def test_what_was_not_read_before_may_become_anything() -> None:
    assert first_loss(captured(FOREIGN), OWN, with_template(FINNISH)) is None


def test_a_template_that_is_taken_away_loses_its_receipts() -> None:
    loss = first_loss(captured(FOREIGN), with_template(FINNISH), OWN)

    assert loss == Loss(capture="monday.txt", number="17", fact="")


def test_a_template_that_reads_a_fact_less_of_another_tills_paper_is_found_out() -> None:
    loss = first_loss(captured(SALE), OWN, with_template(GREEDY))

    assert loss == Loss(capture="monday.txt", number="4711", fact="operator")


@pytest.mark.parametrize("text", [SALE, FOREIGN, SALE + "\f" + SALE.replace("4711", "4712")])
def test_nothing_is_lost_where_nothing_changes(text: str) -> None:
    assert first_loss(captured(text), with_template(FINNISH), with_template(FINNISH)) is None
