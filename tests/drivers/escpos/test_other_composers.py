"""What python-escpos composes for a printer, our paper shows in the same letters."""

from __future__ import annotations

import pytest
from escpos.printer import Dummy

from drivers.escpos.printer import printed

TEXTS = {
    "Čokolada Šećer Đuveč žito ćup": {"default", "TM-T88V", "POS-5890", "RP326", "OCD-300", "TH230", "CT-S651"},
    "Ђоковић Његош џем љубав": {"default", "TM-T88V", "POS-5890", "RP326", "OCD-300"},
    "größe Übung straße €5": {"default", "TM-T88V", "POS-5890", "RP326", "OCD-300", "ZJ-5870", "TH230", "TM-T88III"},
    "ελληνικά русский": {"default", "TM-T88V", "POS-5890", "RP326", "OCD-300"},
    "Zażółć gęślą jaźń, příliš žluťoučký": {"default", "TM-T88V", "POS-5890", "RP326", "TH230"},
    "crème brûlée ｱｲｳ": {"default", "TM-T88V", "POS-5890", "KR-306"},
}  # fmt: skip


@pytest.mark.parametrize(("text", "profile"), [(text, profile) for text in TEXTS for profile in sorted(TEXTS[text])])
def test_letters_for_many_printers(text: str, profile: str) -> None:
    # given a text that the composer selects code pages for, as this printer numbers them
    composer = Dummy(profile=profile)
    composer.text(f"{text}\n")
    # when the stream is printed by the same profile
    shown = printed(composer.output, profile=profile).text
    # then
    assert shown == f"{text}\n"


def test_codes_pictures_and_cuts() -> None:
    composer = Dummy(profile="TM-T88V")
    composer.set(align="center", bold=True, double_height=True, font="b", underline=1, invert=True)
    composer.text("head\n")
    composer.barcode("4006381333931", "EAN13", function_type="A")
    composer.barcode("4006381333931", "EAN13", function_type="B")
    composer.barcode("{BABC123", "CODE128", function_type="B")
    composer.qr("https://example.org/ž", native=True, size=4)
    composer.cashdraw(2)
    composer.cut()
    composer.text("after\n")
    composer.cut(mode="PART", feed=False)
    first, second = printed(composer.output).sheets
    assert first.text.split("\n")[:5] == [
        "head",
        "[EAN13 4006381333931]",
        "[EAN13 4006381333931]",
        "[CODE128 ABC123]",
        "[QR https://example.org/ž]",
    ]
    assert (first.drawer_kicks, first.cut, second.text, second.cut) == (1, True, "after\n", True)
