"""The words of the pages: all there in every language, with every form that its plurals have."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from babel import Locale

from agent.sale_shapes import Refused
from agent.view import NoticeKind, Outcome, RewardOutcome, Standing, Unsafe
from config.settings import Language
from loyalty.member import ContextKind
from loyalty.program import Measure

FOLDER = Path(__file__).parents[2] / "agent" / "page"
# Of both pages: the customer view has its own, and those that the cashier page says at once.
WORDS: dict[str, dict[str, Any]] = {
    language: {
        key: text
        for name in ("words", "panels", "screen")
        for key, text in json.loads((FOLDER / f"{name}-{language}.json").read_text(encoding="utf-8")).items()
    }
    for language in (file.stem.removeprefix("words-") for file in FOLDER.glob("words-*.json"))
}
SCRIPTS = "".join(
    (FOLDER / name).read_text(encoding="utf-8") for name in ("cashier.js", "customer.js", "panels.js", "words.js")
)
VALUE = re.compile(r"\{(\w+)\}")
# Serbian has two alphabets, letter for letter.
LETTERS = {"lj": "љ", "nj": "њ", "dž": "џ"} | dict(
    zip("abvgdđežzijklmnoprstćufhcčš", "абвгдђежзијклмнопрстћуфхцчш", strict=True)
)
# What is written as it is keyed or printed.
AS_IT_IS = re.compile(r"\{\w+\}|tillside \w+|SMS|QR|Enter|Esc|Del(?!i)|\bN\b|[^A-Za-zČčĆćĐđŠšŽž{]+")


def forms(text: Any) -> list[str]:
    return list(text.values()) if isinstance(text, dict) else [text]


def test_there_are_words_for_every_language_of_the_settings() -> None:
    assert set(WORDS) == set(get_args(Language))
    assert [words["language"] for words in WORDS.values()] == list(WORDS)


@pytest.mark.parametrize("language", WORDS)
def test_no_word_is_missing_and_none_is_too_many(language: str) -> None:
    assert set(WORDS[language]) == set(WORDS["en"])
    assert all(text.strip() for words in WORDS[language].values() for text in forms(words))


@pytest.mark.parametrize("language", WORDS)
def test_a_text_has_the_same_values_in_every_language_and_form(language: str) -> None:
    for key, text in WORDS[language].items():
        wanted = {value for form in forms(WORDS["en"][key]) for value in VALUE.findall(form)}
        for form in forms(text):
            assert set(VALUE.findall(form)) == wanted, key


@pytest.mark.parametrize("language", WORDS)
def test_plurals_have_the_forms_that_the_language_has(language: str) -> None:
    words = WORDS[language]
    wanted = {*Locale.parse(words["locale"], sep="-").plural_form.tags, "other"}
    for key, text in words.items():
        assert isinstance(text, dict) == isinstance(WORDS["en"][key], dict), key
        if isinstance(text, dict):
            assert set(text) == wanted, key


def test_the_two_alphabets_of_serbian_say_the_same() -> None:
    for key, text in WORDS["sr"].items():
        if key not in ("locale", "language"):
            assert [cyrillic(form) for form in forms(text)] == forms(WORDS["sr-Cyrl"][key]), key


def cyrillic(text: str) -> str:
    written, place = "", 0
    while place < len(text):
        kept = AS_IT_IS.match(text, place)
        if kept is not None:
            written += kept[0]
            place = kept.end()
            continue
        letter = text[place : place + 2] if text[place : place + 2].lower() in LETTERS else text[place]
        other = LETTERS[letter.lower()]
        written += other.upper() if letter[0].isupper() else other
        place += len(letter)
    return written


def test_what_the_pages_say_there_are_words_for() -> None:
    said = set(re.findall(r'say\("(\w+)"', SCRIPTS))
    said |= {f"notice_{kind}" for kind in get_args(NoticeKind)} | {f"reward_{kind}" for kind in get_args(RewardOutcome)}
    said |= {f"screen_{standing}" for standing in get_args(Standing) if standing != "known"} | set(get_args(Unsafe))
    said |= {f"context_{kind}" for kind in get_args(ContextKind)}
    said |= {"problem_disk_full", "problem_disk_refuses"}
    said |= {f"progress_{measure}" for measure in (*get_args(Measure), "stamps")}
    said |= {f"{standing}_text" for standing in ("unknown", "unissued", "blocked")} | {"unknown_title", "blocked_title"}
    said |= {f"refused_{why}" for why in ("unknown", "text", "often", "silent")}
    said |= {f"join_consent_{channel}" for channel in ("sms", "email")} | {"needs_phone", "needs_email"}
    said |= {outcome for outcome in get_args(Outcome) if outcome != "points"} | {"at_centre_return", "no_card_return"}

    assert said - set(WORDS["en"]) == set()


def test_another_text_of_a_consent_is_another_version() -> None:
    # Given the digest of what people read under each version: a new one is added, none is ever changed
    read = {"till-2026-11": "005585d0439419af"}

    version = re.search(r'CONSENT_TEXT = "([\w-]+)"', SCRIPTS)
    texts = [WORDS[language][f"join_consent_{channel}"] for language in sorted(WORDS) for channel in ("email", "sms")]

    assert version is not None
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == read[version[1]]


def test_a_refusal_that_the_page_can_meet_has_its_words() -> None:
    for_a_pos = {"closed", "no_basket"}  # the page opens no sale and tells no basket

    assert {f"refused_{reason}" for reason in set(get_args(Refused)) - for_a_pos} <= set(WORDS["en"])
