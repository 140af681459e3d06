"""Symbology identifiers of ISO/IEC 15424, and text that only looks like one."""

from __future__ import annotations

import pytest

from drivers.scanning.aim import ECI_IDENTIFIERS, GS1_IDENTIFIERS, split_identifier, symbology_of
from loyalty.identification import SYMBOLOGIES


@pytest.mark.parametrize(
    ("aim", "symbology", "gs1"),
    [
        *((f"]A{modifier}", "code39", False) for modifier in "013457"),
        ("]B0", "telepen", False),
        ("]C0", "code128", False),
        ("]C1", "gs1-128", True),
        ("]C2", "code128", False),  # FNC1 in the second position: not GS1
        ("]C4", "code128", False),  # ISBT concatenation
        ("]D0", "code-one", False),
        ("]E0", "ean13", False),
        ("]E1", "ean-upc", False),
        ("]E2", "ean-upc", False),
        ("]E3", "ean13", False),
        ("]E4", "ean8", False),
        ("]F0", "codabar", False),
        ("]G0", "code93", False),
        ("]H0", "code11", False),
        *((f"]I{modifier}", "itf", False) for modifier in "013"),
        ("]J0", "dotcode", False),
        ("]J1", "gs1-dotcode", True),
        ("]J2", "dotcode", False),
        ("]J4", "gs1-dotcode", True),
        ("]K0", "code16k", False),
        *((f"]L{modifier}", "pdf417", modifier == "3") for modifier in "012345"),
        ("]M0", "msi", False),
        ("]N0", "anker", False),
        ("]O4", "codablock", False),
        ("]P0", "plessey", False),
        ("]Q0", "qr", False),
        ("]Q1", "qr", False),
        ("]Q2", "qr", False),
        ("]Q3", "gs1-qr", True),
        ("]Q4", "gs1-qr", True),
        ("]Q5", "qr", False),
        ("]Q6", "qr", False),
        ("]R0", "straight-2of5", False),
        ("]S0", "straight-2of5", False),
        ("]T0", "code49", False),
        ("]U0", "maxicode", False),
        ("]X0", "unknown", False),
        ("]Y0", "unknown", False),
        ("]Z0", "unknown", False),
        ("]c0", "channel-code", False),
        ("]d0", "datamatrix", False),
        ("]d1", "datamatrix", False),
        ("]d2", "gs1-datamatrix", True),
        ("]d3", "datamatrix", False),
        ("]d4", "datamatrix", False),
        ("]d5", "gs1-datamatrix", True),
        ("]d6", "datamatrix", False),
        *((f"]e{modifier}", "databar", True) for modifier in "0123"),
        ("]h0", "han-xin", False),
        ("]o1", "ocr", False),
        ("]p0", "posicode", False),
        ("]s0", "supercode", False),
        *((f"]z{modifier}", "aztec", modifier in "14") for modifier in "0123456789ABC"),
    ],
)
def test_an_identifier_names_a_symbology_and_what_its_first_fnc1_says(aim: str, symbology: str, gs1: bool) -> None:
    assert split_identifier(aim + "12") == (aim, "12")
    assert symbology_of(aim) == symbology
    assert (aim in GS1_IDENTIFIERS) == gs1


@pytest.mark.parametrize(
    "text", ["", "]", "]C", "]?0123", "]70", "]cx", "]Code", "]]C1", "C1", "[C1", "]W0", "]CG", "]C "]
)
def test_text_that_is_no_identifier_stays_whole(text: str) -> None:
    assert split_identifier(text) == ("", text)


def test_every_name_may_stand_in_a_rule() -> None:
    every = {symbology_of(f"]{code}{modifier}") for code in map(chr, range(33, 127)) for modifier in "0123456789ABC"}

    assert every | {"magstripe", "upca", "upce"} == set(SYMBOLOGIES)


def test_where_the_eci_protocol_is_used_it_is_used_with_fnc1_too() -> None:
    assert {"]Q2", "]Q4", "]Q6", "]d4", "]d5", "]d6"} < ECI_IDENTIFIERS
