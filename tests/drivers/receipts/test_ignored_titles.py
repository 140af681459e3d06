"""Paper that is no receipt, in a language that only a template knows."""

from __future__ import annotations

import pytest

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import Template, template_from
from drivers.receipts.template_writing import template_text
from drivers.receipts.trial import try_capture
from tests.drivers.receipts.journals import Item, Journal, printed
from tests.drivers.receipts.test_retrial import FINNISH, FOREIGN, OWN

TITLES = """
[ignored]
z_report = ["päiväraportti", "Ημερήσια αναφορά"]
card_slip = ["Korttitosite"]
kitchen_ticket = ["KEITTIÖ"]
"""
REPORT = (
    "KIOSKI HELSINKI\nPÄIVÄRAPORTTI  NRO 117\n22.11.2026 21:00\nMyynti 1 234,50\nKäteinen 900,00\nYHTEENSÄ 1 234,50\n"
)
GREEK = "KIOSKI\nΗΜΕΡΗΣΙΑ   ΑΝΑΦΟΡΑ\nΣΥΝΟΛΟ 10,00\n"
SLIP = "KIOSKI HELSINKI\nKORTTITOSITE\nVISA **** 1111\nKIITOS\n"
TICKET = "KEITTIÖ 4\n2 x KEITTO\n1 x PULLA\n"


def template(text: str = FINNISH + TITLES) -> Template:
    return template_from(text.encode(), "a test")


def kinds(text: str, *, with_titles: bool = True) -> tuple[list[str], list[str], int]:
    """What is ignored, what is a problem, and how many receipts there are."""
    own = template() if with_titles else template(FINNISH)
    options = DecodeOptions(time_zone=OWN.time_zone, templates=(own,))
    decoded = decode(text.encode(), options)
    return [one.kind for one in decoded.ignored], [one.code for one in decoded.problems], len(decoded.receipts)


@pytest.mark.parametrize(
    ("paper", "kind"),
    [(REPORT, "z_report"), (GREEK, "z_report"), (SLIP, "card_slip"), (TICKET, "kitchen_ticket")],
)
def test_a_title_makes_paper_of_its_kind(paper: str, kind: str) -> None:
    assert kinds(paper, with_titles=False)[0] == []
    assert kinds(paper) == ([kind], [], 0)


def test_receipts_stay_receipts() -> None:
    # given a receipt beside a report, one whose goods are called as a ticket, and one that says more in that line
    assert kinds(FOREIGN) == ([], [], 1)
    assert kinds(f"{FOREIGN}\f{REPORT}") == (["z_report"], [], 1)
    assert kinds(FOREIGN.replace("\n", "\nKorttitosite annetaan vain pyynnöstä kassalta aina heti\n", 1)) == ([], [], 1)
    assert kinds(FOREIGN + "Keittiökellot -20 %\n") == ([], [], 1)
    # and a fiscal journal is one, whatever stands above it
    journal = printed(Journal(items=(Item(text="PULLA (Е)", price_minor=100, quantity="1", amount_minor=100),)))
    assert kinds("KEITTIÖ\n" + journal)[2] == 1


def test_a_trial_counts_them_as_other_paper() -> None:
    tried = try_capture("monday.txt", f"{FOREIGN}\f{REPORT}\f{SLIP}".encode(), template(), OWN)

    assert (len(tried.receipts), tried.ignored) == (1, 2)


GIVEN_UP = "KIOSKI HELSINKI\nKUITTI 4711\n22.11.2026 21:00\nPULLA 1,50\n*** KESKEYTETTY ***\n"


def test_a_sale_that_is_given_up_is_known_by_the_words_of_a_template() -> None:
    # given a sale without a total, in words that only a template has
    assert kinds(GIVEN_UP)[0] == []
    own = template(FINNISH + TITLES + '[marks]\nvoided = ["Keskeytetty"]\n')
    # then it is counted, and in a trial it is other paper
    decoded = decode(GIVEN_UP.encode(), DecodeOptions(time_zone=OWN.time_zone, templates=(own,)))
    assert ([one.kind for one in decoded.ignored], decoded.problems) == (["voided_sale"], ())
    assert try_capture("monday.txt", GIVEN_UP.encode(), own, OWN).ignored == 1


def test_they_are_written_and_read_back() -> None:
    assert template_from(template_text(template()).encode(), "written") == template()
