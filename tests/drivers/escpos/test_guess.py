"""The guess of a code page: right in every page a language can be printed in, modest where little is told."""

from __future__ import annotations

import random

import pytest
from msgspec import UNSET

from drivers.escpos.codepages import CodePage, code_page
from drivers.escpos.guess import LIKELIEST_CERTAINTY, guess, guessed_pages, makes_sense, selected_texts
from drivers.escpos.printer import UNSELECTED
from drivers.receipts.decode import decode, paper_text
from drivers.receipts.documents import lines_in_pages
from drivers.receipts.port import DecodeOptions

# None of these lines is among the samples of drivers/escpos/languages.py.
TEXTS = {
    "serbian": "Račun br. 12\nKisela pavlaka\nŠargarepa rinfuz\nPlaćanje gotovinom\nĐumbir mleven\nVraćamo Vam 12,00\n",
    "croatian": "Račun br. 12\nČokolada s lješnjacima\nŠljive\nĐumbir\nPlaćanje: gotovina\nHvala na povjerenju\n",
    "slovenian": "Račun št. 12\nKruh beli\nŠunka kuhana\nPlačilna kartica\nVračilo\nHvala za obisk, želimo lep dan\n",
    "capitals": "RAČUN BR. 12\nŠLJIVE SUŠENE\nŽELE BOMBONE\nPLAĆENO\nĐAKOVAČKA PEKARA\n",
    "cyrillic": "Рачун бр. 12\nХлеб бели\nМлеко 2,8%\nУкупан износ\nГотовина\nПовраћај\nХвала на поверењу\n",
    "cyrillic capitals": "РАЧУН БР. 12\nХЛЕБ БЕЛИ\nУКУПАН ИЗНОС\nГОТОВИНА\n",
    "bulgarian": "Касова бележка\nХляб Добруджа\nОбща сума\nВ брой\nРесто\nБлагодарим Ви!\n",
    "german": "Kassenbon\nBrötchen\nKäse\nÄpfel Grüne\nRückgeld\nGrüße aus Köln, Straße 5\n",
    "hungarian": "Nyugta\nFizetendő összeg\nTejföl 20%\nHűtött csirkemell\nKészpénz\nKöszönjük a bizalmát\n",
    "polish": "Paragon fiskalny\nŚmietanka 18%\nChleb żytni\nDo zapłaty\nGotówka\nPłatki śniadaniowe\n",
    "czech": "Účtenka č. 12\nSmetana ke šlehání\nRohlík tukový\nČokoláda hořká\nHotovost\nDěkujeme Vám\n",
    "french": "Ticket de caisse\nCrème épaisse\nPâté de campagne\nPayé en espèces\nMerci de votre fidélité\n",
    "italian": "Scontrino\nCaffè macinato\nQuantità 2\nPiù convenienza\nPagherà domani, perciò è così\n",
    "spanish": "Ticket\nPiña en almíbar\nJamón serrano\nCafé molido\nDevolución\nGracias por su atención, señora\n",
    "danish": "Kvittering\nRugbrød\nÆblejuice\nJordbærgrød\nBeløb i alt\nTak for besøget\nFløde\n",
    "turkish": "Fiş no 12\nBeyaz peynir dilimli\nÇilekli yoğurt\nÖdenecek tutar\nTeşekkür ederiz\nAlışveriş\n",
    "greek": "Απόδειξη λιανικής\nΦρέσκο γάλα\nΨωμί ολικής\nΣύνολο ευρώ\nΜετρητά\n",
}  # fmt: skip
PAGES = (
    "CP437", "CP852", "CP858", "CP1250", "CP1252", "ISO8859-2", "CP1251", "CP855", "CP866", "ISO8859-5", "CP857",
    "CP1254", "CP737", "CP1253",
)  # fmt: skip


def encoded(text: str, page: CodePage) -> bytes | None:
    """`text` as a till prints it in `page`, if it can."""
    codes = [page.letters.find(letter) for letter in text]
    return None if -1 in codes else bytes(codes)


OF_ONE_LANGUAGE = {"CP857": "turkish", "CP1254": "turkish", "CP737": "greek", "CP1253": "greek"}
PRINTED = [
    (language, page, data)
    for language, text in TEXTS.items()
    for page in PAGES
    if OF_ONE_LANGUAGE.get(page, language) == language and (data := encoded(text, code_page(page))) is not None
]


@pytest.mark.parametrize(("language", "page", "data"), PRINTED, ids=lambda each: each if isinstance(each, str) else "")
def test_every_language_is_read_in_every_page_it_is_printed_in(language: str, page: str, data: bytes) -> None:
    guessed = guess(data)
    assert guessed is not None
    assert code_page(guessed.code_page).decode(data) == TEXTS[language]
    assert guessed.certainty >= 70
    assert all(other.certainty < guessed.certainty for other in guessed.runners_up)


def test_all_that_can_be_printed_is_tried() -> None:
    assert len(PRINTED) >= 38


def test_what_reads_alike_in_several_pages_is_one_guess() -> None:
    guessed = guess("Köln Müsli".encode("cp852"))
    assert guessed is not None
    assert {guessed.code_page, *(other.code_page for other in guessed.runners_up)}.isdisjoint({"CP437", "CP852"})


def test_few_letters_give_little_certainty() -> None:
    certainties = []
    for text in ("Plaćeno", "Plaćeno Račun", "Plaćeno Račun Šećer Žito Đumbir"):
        guessed = guess(text.encode("cp1250"))
        assert guessed is not None
        assert guessed.code_page == "CP1250"
        certainties.append(guessed.certainty)
    assert certainties[0] < 50 < certainties[1] < 90 < certainties[2] <= 99


def test_frames_and_signs_alone_tell_nothing() -> None:
    for text in ("┌──────┐\n│ BROT │\n└──────┘\n════════\n", "░░░░▒▒▒▒▓▓▓▓"):
        guessed = guess(text.encode("cp437"))
        assert guessed is None or guessed.certainty < LIKELIEST_CERTAINTY
    framed = guess("┌──────┐\n│ BROT │\n└──────┘\nMüsli 500 g\nKöln\nGrüße\n".encode("cp437"))
    assert framed is not None
    assert "Müsli Köln Grüße".encode("cp437").decode("cp858") == code_page(framed.code_page).decode(
        "Müsli Köln Grüße".encode("cp437")
    )


def test_utf_8_is_known_by_itself_even_where_it_is_cut() -> None:
    text = "Plaćeno čekom".encode()
    for data in (text, text[:4]):
        guessed = guess(data)
        assert guessed is not None
        assert (guessed.code_page, guessed.certainty) == ("UTF-8", 99)


def test_ascii_gives_no_guess_and_noise_none_to_rely_on() -> None:
    assert guess(b"Receipt 4711\nTOTAL EUR 3.00\n") is None
    dice = random.Random(4711)
    noise = [guess(bytes(dice.randrange(0x80, 0x100) for _ in range(40))) for _ in range(200)]
    assert sum(guessed is not None and guessed.certainty > 60 for guessed in noise) < 20


# Printer streams

RECEIPT = "Prodavnica 12 Kasa 3\nRačun 4711  22.11.2026 09:07\nŠećer žuti  3.00\nUKUPNO EUR  3.00\n"
CUT = b"\x1dV\x00"


def read(document: bytes, profile: str | None = None) -> str:
    return "".join(paper_text(document, DecodeOptions(profile=profile)))


@pytest.mark.parametrize("page", ["cp852", "cp1250", "iso8859-2", "utf-8"])
def test_a_stream_that_selects_no_page_is_read_by_the_guess(page: str) -> None:
    # given a till that leaves the letters to the printer's switches
    decoded = decode(b"\x1b@" + RECEIPT.encode(page) + CUT)
    # then its receipt is read, and the document says that it is a guess
    (receipt,) = decoded.receipts
    assert (receipt.number, receipt.lines[0].description) == ("4711", "Šećer žuti")
    (guessed,) = decoded.code_page_guessed or ()
    assert (guessed.selected, guessed.guess.code_page) == (None, page.upper())
    assert guessed.guess.certainty > 85


def test_a_page_that_the_printer_is_not_known_to_have_is_guessed() -> None:
    (receipt,) = decode(b"\x1b@\x1bt\x48" + RECEIPT.encode("cp852") + CUT).receipts
    assert receipt.lines[0].description == "Šećer žuti"


def test_a_page_in_which_no_word_makes_sense_is_guessed() -> None:
    # given a printer on which ESC t 2 is CP852, where most have CP850
    document = b"\x1b@\x1bt\x02" + RECEIPT.encode("cp852") + CUT
    decoded = decode(document)
    # then
    assert decoded.receipts[0].lines[0].description == "Šećer žuti"
    (guessed,) = decoded.code_page_guessed or ()
    assert (guessed.selected, guessed.guess.code_page) == (2, "CP852")
    # but where the printer is named, its numbers are believed
    assert "Šećer" not in read(document, profile="TM-T88V")


@pytest.mark.parametrize(
    ("document", "page"),
    [
        (b"\x1b@" + RECEIPT.encode("cp852") + CUT, "CP1250"),
        (b"\x1b@\x1bt\x12" + RECEIPT.encode("cp852") + CUT, None),
        (b"\x1b@\x1bt\x2d" + RECEIPT.encode("cp1250") + CUT, None),
        (b"\x1b@\x1bt\x02Sm\x94rg\x86s \x91bler" + CUT, None),
        (b"\x1b@plain ASCII\n" + CUT, None),
        (b"\x1b@\x1dv0\x00\x02\x00\x01\x00\xc8\xe8ASCII\n" + CUT, None),
        (b"\x1b@\xc4\xc4\xc4\xc4\xc4\xc4\nASCII\n" + CUT, None),
        (b"\x1b@\x1c&\xc4\xe3\xba\xc3\x1c.\n" + CUT, None),
        (b"\x1b@M\x81ller\n" + CUT, None),
    ],
)
def test_nothing_is_guessed_where_it_is_told_or_makes_no_difference(document: bytes, page: str | None) -> None:
    assert decode(document, DecodeOptions(code_page=page)).code_page_guessed is UNSET


def test_each_selected_page_is_looked_at_by_itself() -> None:
    # given a stream that begins untold, selects CP1250, and goes on in CP852 by a number that means CP850 elsewhere
    document = (
        "Vraćeno Šećer Žito\n".encode("cp852")
        + b"\x1bt\x2d" + "Plaćanje Čaj Đumbir\n".encode("cp1250")
        + b"\x1bt\x02" + "Račun Kačkavalj Žvake Ćufte Đevrek\n".encode("cp852")
    )  # fmt: skip
    assert set(selected_texts(document)) == {UNSELECTED, 0x2D, 2}
    assert [guessed.selected for guessed in guessed_pages(document, None)] == [None, 2]
    assert read(document) == "Vraćeno Šećer Žito\nPlaćanje Čaj Đumbir\nRačun Kačkavalj Žvake Ćufte Đevrek\n"


def test_a_letter_that_other_print_follows_is_no_beginning_of_one() -> None:
    # given a letter that UTF-8 would need two more for, and behind a style and a position letters without accents
    document = b"\xe2\x1bE\x01\x1b$\x00\x00Pr"
    assert [guessed.guess.code_page for guessed in guessed_pages(document, None)] == ["CP1251"]


@pytest.mark.parametrize(
    ("text", "page", "sense"),
    [
        ("Račun Šećer Žito", "CP1250", True),
        ("RAČUN ŠEĆER", "CP1250", True),
        ("„Ona” — 5 €", "CP1252", True),
        ("Ελληνικά", "CP737", True),
        ("תודה רבה", "CP862", True),
        ("┌─┐ │ └─┘", "CP437", True),
        ("ra╚un", "CP437", False),
        ("Plaτanje", "CP437", False),
        ("koÜulja", "CP437", False),
        ("PLAćANJE", "CP852", False),
    ],
)
def test_words_have_their_letters_where_words_have_them(text: str, page: str, sense: bool) -> None:
    data = encoded(text, code_page(page))
    assert data is not None
    assert makes_sense(data, code_page(page)) is sense


def test_a_person_sees_one_line_in_each_page() -> None:
    document = b"\x1b@TOTAL\n" + "Plaćeno Šećer\nČaj\n".encode("cp852")
    (guessed,) = guessed_pages(document, None)
    lines = lines_in_pages(document, guessed, profile=None, language="escpos")
    assert next(iter(lines.items())) == ("CP852", "Plaćeno Šećer")
    assert len(lines) == len(set(lines.values())) == 1 + len(guessed.guess.runners_up)
