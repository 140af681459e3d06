"""The guess of a code page: right in every page a language can be printed in, and modest where little is told."""

from __future__ import annotations

import random

import pytest

from drivers.escpos.codepages import code_page
from drivers.receipts.alphabet import CANDIDATES, SHOWN, guesses
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions

TEXTS = {
    "slovenian": "Račun št. 12\nKruh beli\nŠunka kuhana\nPlačilna kartica\nVračilo\nHvala za obisk, želimo lep dan\n",
    "croatian": "Račun br. 12\nČokolada s lješnjacima\nŠljive\nĐumbir\nPlaćanje: gotovina\nHvala na povjerenju\n",
    "serbian": "Рачун бр. 12\nХлеб бели\nМлеко 2,8%\nУкупан износ\nГотовина\nПовраћај\nХвала на поверењу\n",
    "capitals": "РАЧУН БР. 12\nХЛЕБ БЕЛИ\nУКУПАН ИЗНОС\nГОТОВИНА\n",
    "german": "Kassenbon\nBrötchen\nKäse\nÄpfel Grüne\nRückgeld\nGrüße aus Köln, Straße 5\n",
}
PAGES = {"CP437": "cp437", "CP858": "cp858", "ISO8859-2": "iso8859-2", "ISO8859-5": "iso8859-5"}


def encoded(text: str, page: str) -> bytes | None:
    try:
        return text.encode(PAGES.get(page, page.lower()))
    except UnicodeEncodeError:
        return None


PRINTED = [
    (language, page, data)
    for language, text in TEXTS.items()
    for page in CANDIDATES
    if (data := encoded(text, page)) is not None
]


@pytest.mark.parametrize(("language", "page", "data"), PRINTED, ids=lambda each: each if isinstance(each, str) else "")
def test_every_language_is_read_in_every_page_it_is_printed_in(language: str, page: str, data: bytes) -> None:
    likeliest = guesses(data)[0]
    assert code_page(likeliest.name).decode(data) == TEXTS[language]
    assert likeliest.certainty >= 40
    assert likeliest.line in TEXTS[language]


def test_all_that_can_be_printed_is_tried() -> None:
    assert len(PRINTED) >= 17


def test_a_frame_or_a_sign_is_no_letter() -> None:
    data = "┌──────┐\n│ BROT │\n└──────┘\nMüsli 500 g\nKöln\nGrüße\n".encode("cp437")
    assert guesses(data)[0].name == "CP437"


@pytest.mark.parametrize("word", ["Račun", "Köln", "Čaj"])
def test_a_single_word_gives_a_guess_of_little_certainty(word: str) -> None:
    for page in ("CP852", "CP1250"):
        likeliest = guesses(word.encode(page.lower()))[0]
        assert code_page(likeliest.name).decode(word.encode(page.lower())) == word
        assert 0 < likeliest.certainty < 40


def test_ascii_gives_no_guess_and_noise_none_to_rely_on() -> None:
    assert guesses(b"Receipt 4711\nTOTAL EUR 3.00\n") == ()
    dice = random.Random(4711)
    certain = [guesses(bytes(dice.randrange(0x80, 0x100) for _ in range(40)))[0].certainty for _ in range(200)]
    assert sum(certainty > 60 for certainty in certain) < 20


def test_a_person_gets_a_few_to_choose_from() -> None:
    choice = guesses(TEXTS["croatian"].encode("cp852"))
    assert len(choice) == SHOWN
    assert len({guess.line for guess in choice}) == SHOWN
    assert [guess.certainty == 0 for guess in choice] == [False, True, True]


RECEIPT = "Prodavnica 12 Kasa 3\nRačun 4711  22.11.2026 09:07\nŠećer žuti  3.00\nUKUPNO EUR  3.00\n"


@pytest.mark.parametrize("page", ["cp852", "cp1250", "utf-8"])
def test_a_stream_that_selects_no_page_is_read_by_the_guess(page: str) -> None:
    (receipt,) = decode(b"\x1b@" + RECEIPT.encode(page) + b"\x1dV\x00").receipts
    assert (receipt.number, receipt.lines[0].description) == ("4711", "Šećer žuti")


def test_a_page_that_the_printer_is_not_known_to_have_is_guessed() -> None:
    (receipt,) = decode(b"\x1b@\x1bt\x48" + RECEIPT.encode("cp852") + b"\x1dV\x00").receipts
    assert receipt.lines[0].description == "Šećer žuti"


def test_what_is_told_is_never_guessed() -> None:
    document = b"\x1b@" + RECEIPT.encode("cp852") + b"\x1dV\x00"
    for options, started in (
        (DecodeOptions(code_page="CP1250"), document),
        (DecodeOptions(profile="TM-T88V"), document),
        (DecodeOptions(), document.replace(b"\x1b@", b"\x1b@\x1bt\x00")),
    ):
        (receipt,) = decode(started, options).receipts
        assert receipt.lines[0].description != "Šećer žuti"


def test_a_text_file_in_a_printers_page_is_read() -> None:
    text = RECEIPT + "Čvarci, Đumbir, Ćevapi, Žganci, Šljivovica\n"
    (receipt,) = decode(text.encode("cp852")).receipts
    assert receipt.lines[0].description == "Šećer žuti"
