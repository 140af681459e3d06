"""What the join page says, and to whom it counts what: words, versions of consents, visitors, and its settings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from central.folder import AddressError, DataFolder
from central.join_page.form import CHANNELS, CONSENT_TEXT
from central.join_page.words import LANGUAGES, words_of
from central.setup import OFF, InitOptions, initialise
from central.visitors import MAX_VISITORS, Visitors, visitor_of
from sync.guesses import MAX_MISSES
from tests.browser.test_words import WORDS, cyrillic
from tests.central.till import NOON


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_is_missing_and_none_is_too_many(language: str) -> None:
    words = words_of(language)

    assert set(words) == set(words_of("en"))
    assert all(text.strip() for text in words.values())
    assert {name for name, text in words.items() if "{brand}" in text} == {f"consent_{name}" for name in CHANNELS}
    assert words["locale"] == WORDS[language]["locale"]


def test_the_page_speaks_the_languages_of_the_registers() -> None:
    assert set(LANGUAGES) == set(WORDS)
    latin, other = words_of("sr"), words_of("sr-Cyrl")
    assert {name: cyrillic(text) for name, text in latin.items() if name != "locale"} == {
        name: text for name, text in other.items() if name != "locale"
    }


def test_another_text_of_a_consent_is_another_version() -> None:
    # Given the digest of what people read under each version: a new one is added, none is ever changed
    read = {"join-page-2026-11": "3c4b8c687e7d7956"}

    texts = [words_of(language)[f"consent_{channel}"] for language in sorted(LANGUAGES) for channel in sorted(CHANNELS)]

    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == read[CONSENT_TEXT]


@pytest.mark.parametrize(
    ("peer", "forwarded", "visitor"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        ("::1", ["198.51.100.1", "2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["unknown"], ""),
        # whoever reaches the listener without the proxy of this machine says nothing of themselves
        ("203.0.113.7", ["192.0.2.1"], "203.0.113.7"),
        ("", ["192.0.2.1"], ""),
    ],
)
def test_a_visitor_is_whom_the_proxy_names_last(peer: str, forwarded: list[str], visitor: str) -> None:
    assert visitor_of(peer, forwarded) == visitor


def test_visitors_beyond_so_many_are_forgotten_the_longest_unseen_first() -> None:
    visitors = Visitors(lambda: 0.0)
    for visitor in ("seldom", "often"):
        for _ in range(MAX_MISSES):
            visitors.guesses(visitor).missed()
    for number in range(MAX_VISITORS - 2):
        visitors.guesses(str(number))
    assert visitors.guesses("often").wait_s() > 0

    visitors.guesses("one more")

    assert visitors.guesses("often").wait_s() > 0
    assert visitors.guesses("seldom").wait_s() == 0


def test_the_page_is_set_up_kept_changed_and_ended(tmp_path: Path) -> None:
    def init(**options: str) -> tuple[str, str, str | None] | None:
        initialise(tmp_path, InitOptions(**options), NOON)  # type: ignore[arg-type]
        join = DataFolder(tmp_path).settings().join
        return (str(join.listen), join.url, join.privacy) if join is not None else None

    assert init() is None
    assert init(join="127.0.0.1:8791", join_url="https://Join.shop.example") == (
        "127.0.0.1:8791",
        "https://join.shop.example/",
        None,
    )
    assert init(brand="Kod Savete", join_privacy="https://shop.example/privacy") == (
        "127.0.0.1:8791",
        "https://join.shop.example/",
        "https://shop.example/privacy",
    )
    assert init(join=OFF) is None
    assert init() is None


@pytest.mark.parametrize(
    "options",
    [
        {"join": "127.0.0.1:8791"},
        {"join_url": "https://join.shop.example/"},
        {"join": "8791", "join_url": "https://join.shop.example/"},
        {"join": "127.0.0.1:8791", "join_url": "http://join.shop.example/"},
        {"join": "127.0.0.1:8791", "join_url": "join.shop.example"},
        {"join": "127.0.0.1:8791", "join_url": "https://shop.example/join"},
        {"join": "127.0.0.1:8791", "join_url": "https://a@shop.example/"},
        {"join": "127.0.0.1:8791", "join_url": "https://shop.example/?x=1"},
        {"join": "127.0.0.1:8791", "join_url": "https://shop.example/", "join_privacy": "javascript:alert(1)"},
    ],
)
def test_an_address_that_no_telephone_could_use_is_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(AddressError):
        initialise(tmp_path, InitOptions(**options), NOON)  # type: ignore[arg-type]
