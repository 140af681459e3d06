"""Whatever arrives, a scan comes out: 200,000 damaged codes, and what must hold of every scan."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanning.scan import MAX_TEXT_CHARS, Scan, ScanProblem, parse_scan
from loyalty.identification import IdentificationRule, is_member_code

PER_FAMILY = 50_000
PROBLEMS = set(get_args(ScanProblem))
RULES = (
    IdentificationRule(name="cards", prefixes=("29",), lengths=(13,), check_digit="gs1"),
    IdentificationRule(name="links", pattern="https://id.example/m/{code}*"),
    IdentificationRule(name="numbers", kind="wallet", ai="21", ranges=(("1000", "1999"),)),
)
FAMILIES = {
    "symbologies": [
        "]E05901234123457",
        "]E001234565",
        "]E3590123412345712",
        "]E496385074",
        "]I115012345678907",
        "]C0M-00 1234",
        "]Q2\\000026TS:7\\\\8",
        "]X0CARD77",
        "]z0CARD77",
        ";9012345678=99?",
        "2912345678906",
        "\u041c\u0430\u0440\u0438\u0458\u0430",
    ],
    "messages": [
        "]C1010950110153000310AB-1\x1d21XYZ",
        "]e0019501234567890331030001233922029\x1d17201225",
        "]d2<GS>0109501101530003" + "21A{GS}10B^]9912",
        "]E05901234123457|]e010LOT\x1d21S",
        "(01)09501101530003(17)261231(10)A(B)",
        "0109501101530003" + "21SERIAL1234567890" + "17261231" + "10LOT",
        "]C18018" + "950110153000000014\x1d80191",
        "]Q3" + "8003" + "02112345678900ABC\x1d800820122523",
        "]d2" + "8013" + "1987654Ad4X4bL5ttr2310c2K",
    ],
    "links": [
        "]Q1https://id.gs1.org/01/09520123456788/10/ABC1/21/12345?17=180426#x",
        "HTTP://a/8018/123456789012345675/8019/123",
        "https://a/01/12312312312333/22/ABC%2d123?99=A%20BC&98=XYZ%2f987;97=1",
        "https://id.gs1.org/ARFKk4XB0CDKWcnpq",
        "https://id.example/m/M-77?x=1",
        "https://[2001:db8::1]/414/9520123456788/254/32a%2Fb",
    ],
    "bytes": ["]Q1\xd6l", "]E05901234123457", "]C1010950110153000310\xff", "]C0M1"],
}
ALPHABET = "0123456789AZaz]^{}<>()|/?&;=%+:.#~\\ \t\r\n\x00\x1d\x1b\x7f\u202e\u200b\ufeff\ud800\u0663é€"


def mutants(samples: list[str], chance: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        text = chance.choice(samples)
        for _ in range(chance.randrange(4)):
            at, kind = chance.randrange(len(text) + 1), chance.randrange(5)
            if kind == 0:
                text = text[:at] + chance.choice(ALPHABET) + text[at:]
            elif kind == 1:
                text = text[:at] + text[at + chance.randrange(1, 4) :]
            elif kind == 2:
                text = text[:at] + chance.choice(ALPHABET) + text[at + 1 :]
            elif kind == 3:
                other = chance.choice(samples)
                text = text[:at] + other[chance.randrange(len(other) + 1) :]
            else:
                text = text[:at] + text[at : at + 6] * chance.randrange(1, 40) + text[at:]
        yield text


def must_hold(scan: Scan) -> None:
    document = scan.document()
    assert set(scan.problems) <= PROBLEMS
    assert len(set(scan.problems)) == len(scan.problems)
    assert len(scan.text) <= MAX_TEXT_CHARS
    for text in [scan.text, *(scan.gs1 or {}).values()]:
        if not (text.isascii() and text.isprintable()):
            assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"} for c in text.replace("\x1d", ""))
    if scan.member is not None:
        assert is_member_code(scan.member.code)
        assert "payment_card" not in scan.problems
    if scan.identifier is not None and scan.identifier.kind == "gtin":
        assert scan.identifier.code.isascii()
        assert len(scan.identifier.code) in {8, 12, 13, 14}
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("family", FAMILIES)
def test_damaged_codes_give_scans(family: str) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for number, text in enumerate(mutants(FAMILIES[family], chance, PER_FAMILY)):
        raw = text.encode("iso-8859-1", "replace") if family == "bytes" else text
        scan = parse_scan(raw, RULES if number % 2 else ())
        if number % 10 == 0:
            must_hold(scan)


@given(
    aim=st.sampled_from(["", "]C1", "]Q1", "]Q4", "]e0", "]E0", "]d1", "%", ";", "http://"]),
    raw=st.text(max_size=200),
    ruled=st.booleans(),
)
def test_any_text_gives_an_inert_scan(aim: str, raw: str, ruled: bool) -> None:
    must_hold(parse_scan(aim + raw, RULES if ruled else ()))


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_an_inert_scan(raw: bytes) -> None:
    must_hold(parse_scan(raw))


@given(text=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=60))
def test_what_is_kept_of_a_scan_reads_the_same_again(text: str) -> None:
    once = parse_scan(text)
    again = parse_scan(once.aim + once.text)

    assert again.text == once.text
