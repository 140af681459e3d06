"""The same byte is another letter on another printer; profiles say which."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drivers.escpos.codepages import (
    CodePageError,
    code_page,
    code_page_names,
    national_letters,
    profile_names,
    profile_pages,
    selected_page,
)


def test_the_number_of_a_page_depends_on_the_printer() -> None:
    # CP852 is 18 on most printers, and other numbers on others
    numbers = {
        profile: next(number for number, page in profile_pages(profile).items() if page == "CP852")
        for profile in ("default", "TH230", "CT-S651", "OCD-300", "KR-306", "TSP600", "POS-5890")
    }
    assert numbers == {
        "default": 18, "TH230": 2, "CT-S651": 6, "OCD-300": 9, "KR-306": 13, "TSP600": 5, "POS-5890": 18,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("CP852", b"\xac\xa6\xe7\x86 \xd1\xa7", "ČŽšć Đž"),
        ("CP1250", b"\xc8\x8e\x9a\xe6 \xd0\x9e", "ČŽšć Đž"),
        ("windows-1251", b"\x80\x8a\xde\xb5", "ЂЉЮµ"),
        ("CP855", b"\x81\x91\x99", "ЂЉЎ"),
        ("KATAKANA", b"\xb1\xb2", "ｱｲ"),
        ("CP932", b"\x93\xfa\x96{ \xb1", "日本 ｱ"),
        ("TCVN-3-1", b"Vi\xd6t", "Việt"),
        ("CP774", b"\xd0\xd1\xd2", "ąčę"),
        ("CP3843", b"\x86\x8d\x92\xa7", "ąćłż"),
        ("CP3844", b"\x87\xa8\xa9\x91", "čšřž"),
        ("CP928", b"\xc1\xe1", "Αα"),
        ("RK1048", b"\x8a", "Љ"),
        ("utf-8", "Ђоко".encode(), "Ђоко"),
    ],
)
def test_letters_of_a_page(name: str, data: bytes, text: str) -> None:
    assert code_page(name).decode(data) == text


def test_katakana_that_is_no_valid_multibyte_text_is_still_katakana() -> None:
    assert code_page("CP932").decode(b"\xb2\xdb\xca\x81") == "ｲﾛﾊ▂"


def test_every_page_that_is_listed_can_be_read_and_every_profile_has_a_first_page() -> None:
    for name in code_page_names():
        assert code_page(name).decode(b"ABC") == "ABC"
    for profile in profile_names():
        assert selected_page(profile, 0).decode(b"ABC") == "ABC"


def test_a_page_nobody_knows_shows_that_letters_are_missing() -> None:
    assert selected_page("default", 99).decode(b"a\xc8b") == "a\ufffdb"


@pytest.mark.parametrize("name", ["hex", "punycode", "undefined", "no such page", ""])
def test_an_unknown_page_is_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(CodePageError, match="CP852"):
        code_page(name)


def test_an_unknown_printer_is_refused_with_what_is_known() -> None:
    with pytest.raises(CodePageError, match="TM-T88V"):
        profile_pages("no such printer")


def test_national_letters() -> None:
    assert "[@]^{}".translate(dict(national_letters(14))) == "ŠŽĆČšć"
    assert "{|}~".translate(dict(national_letters(2))) == "äöüß"
    assert national_letters(0) == {}
    assert national_letters(200) == {}


def test_the_profiles_are_read_without_importing_their_package() -> None:
    code = "import sys, drivers.escpos.codepages as pages; pages.profile_names(); print('escpos' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
