"""Digital Links are told from other addresses, and read as the standard says.

Vectors: GS1 Digital Link Standard, URI Syntax, section 4 and its examples; the public tests of the GS1 Barcode
Syntax Engine.
"""

from __future__ import annotations

import pytest

from drivers.scanning.digital_link import read_link

GTIN = "12312312312333"


def read(address: str) -> tuple[dict[str, str], tuple[str, ...]] | None:
    link = read_link(address)
    return None if link is None else (link.values, link.problems)


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("http://a/00/006141411234567890", {"00": "006141411234567890"}),
        ("HTTP://a/00/006141411234567890", {"00": "006141411234567890"}),
        ("https://a/00/006141411234567890", {"00": "006141411234567890"}),
        ("HTTPS://a/00/006141411234567890", {"00": "006141411234567890"}),
        (f"https://a/01/{GTIN}", {"01": GTIN}),
        (f"https://xn--fsq.xn--0zwm56d/01/{GTIN}", {"01": GTIN}),
        (f"https://a./01/{GTIN}", {"01": GTIN}),
        (f"https://a:65535/01/{GTIN}", {"01": GTIN}),
        (f"https://192.0.2.1/01/{GTIN}", {"01": GTIN}),
        (f"https://[2001:db8::1]/01/{GTIN}", {"01": GTIN}),
        ("https://a/more/stem/00/006141411234567890", {"00": "006141411234567890"}),
        ("https://a/00/faux/00/006141411234567890", {"00": "006141411234567890"}),
        ("https://a/stem/00/006141411234567890?", {"00": "006141411234567890"}),
        ("https://a/stem/00/006141411234567890?99=ABC#fragment", {"00": "006141411234567890", "99": "ABC"}),
        ("https://a/01/2112345678900", {"01": "02112345678900"}),
        ("https://a/01/416000336108", {"01": "00416000336108"}),
        ("https://a/01/02345673", {"01": "00000002345673"}),
        (f"https://a/01/{GTIN}/22/TEST/10/ABC/21/XYZ", {"01": GTIN, "22": "TEST", "10": "ABC", "21": "XYZ"}),
        (f"https://a/01/{GTIN}/235/TEST", {"01": GTIN, "235": "TEST"}),
        ("https://a/253/1231231231232TEST5678901234567", {"253": "1231231231232TEST5678901234567"}),
        ("https://a/8018/123456789012345675/8019/123", {"8018": "123456789012345675", "8019": "123"}),
        ("https://a/stem/401/12345678?99=ABC", {"401": "12345678", "99": "ABC"}),
        (f"https://a/01/{GTIN}?&&&99=ABC&&&&&&98=XYZ&&&", {"01": GTIN, "99": "ABC", "98": "XYZ"}),
        (f"https://a/01/{GTIN}?99=ABC;98=XYZ", {"01": GTIN, "99": "ABC", "98": "XYZ"}),
        (f"https://a/01/{GTIN}?99=ABC&unknown=666&lone&98=XYZ", {"01": GTIN, "99": "ABC", "98": "XYZ"}),
        (
            f"https://a/01/{GTIN}/22/ABC%2d123?99=ABC&98=XYZ%2f987",
            {"01": GTIN, "22": "ABC-123", "99": "ABC", "98": "XYZ/987"},
        ),
        (f"https://a/01/{GTIN}/22/ABC+123", {"01": GTIN, "22": "ABC+123"}),
        ("https://id.gs1.org/01/09520123456788", {"01": "09520123456788"}),
        ("https://brand.example.com/some-extra/pathinfo/01/9520123456788", {"01": "09520123456788"}),
        (
            "https://id.gs1.org/01/09520123456788/10/ABC1/21/12345?17=180426",
            {"01": "09520123456788", "10": "ABC1", "21": "12345", "17": "180426"},
        ),
        (
            "https://example.com/01/9520123456788?3103=000195&3922=0299&17=201225",
            {"01": "09520123456788", "3103": "000195", "3922": "0299", "17": "201225"},
        ),
        (
            "https://id.gs1.org/00/952012345678912345?02=09520123456788&37=25&10=ABC123",
            {"00": "952012345678912345", "02": "09520123456788", "37": "25", "10": "ABC123"},
        ),
        ("https://id.gs1.org/414/9520123456788/254/32a%2Fb", {"414": "9520123456788", "254": "32a/b"}),
        ("https://id.gs1.org/415/9520123456788/8020/ABC", {"415": "9520123456788", "8020": "ABC"}),
        (
            "https://example.com/8004/9520614141234567?01=9520123456788",
            {"8004": "9520614141234567", "01": "09520123456788"},
        ),
        # (10) may stand behind the question mark here, since (235) is of another choice.
        (
            "https://id.gs1.org/01/09520123456788/235/XYZ?10=ABC123",
            {"01": "09520123456788", "235": "XYZ", "10": "ABC123"},
        ),
    ],
)
def test_a_link_of_the_standard_is_read_without_a_problem(address: str, values: dict[str, str]) -> None:
    assert read(address) == (values, ())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://a/01/12312312312333",
        "http://",
        "http:///01/12312312312333",
        "http://a",
        "http://a/",
        "http://a/b/",
        "HtTp://a/b/00/006141411234567890",
        "https://00/006141411234567890",
        "https://[fe80::1%25lo]/01/12312312312333",
        "https://$a/00/006141411234567890",
        "https://user@a/00/006141411234567890",
        "https://a/gtin/12312312312333",  # words for identifiers are gone since release 1.2
        "https://a/stem/00/006141411234567890/",
        "https://a/253/1231231231232TEST56789012345678",
        "https://example.com/01/09520123456788/89/ABC123",
        "https://shop.example/2026/01/15",
        "https://shop.example/01/20260115",
        "https://shop.example/10/ABC",
        "https://shop.example/join",
        "https://a/01/12312312312333 x",
        "https://a/01/123123123é2333",
        "https://suf.purs.gov.rs/v/?vl=AzM0",
    ],
)
def test_another_address_is_no_link(address: str) -> None:
    assert read(address) is None


@pytest.mark.parametrize(
    ("address", "values", "problem"),
    [
        ("https://a/01/12312312312334", {"01": "12312312312334"}, "check_digit_wrong"),
        (f"https://a/01/{GTIN}/10/ABC/22/TEST", {"01": GTIN, "10": "ABC", "22": "TEST"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}/10/A/235/B", {"01": GTIN, "10": "A", "235": "B"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}/10/", {"01": GTIN}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?10=ABC123", {"01": GTIN, "10": "ABC123"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?8200=X", {"01": GTIN, "8200": "X"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?99=", {"01": GTIN}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?99=ABC&999=faux", {"01": GTIN, "99": "ABC"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?98=XYZ+987", {"01": GTIN}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?99=A%00B", {"01": GTIN}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?99=%E2%80%AE", {"01": GTIN}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}/10/A?99=X&01={GTIN}", {"01": GTIN, "10": "A", "99": "X"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?99=X&99=X", {"01": GTIN, "99": "X"}, "digital_link_wrong"),
        (f"https://a/01/{GTIN}?17=209910", {"01": GTIN, "17": "209910"}, "date_wrong"),
    ],
)
def test_a_faulty_link_still_is_about_its_thing(address: str, values: dict[str, str], problem: str) -> None:
    assert read(address) == (values, (problem,))


@pytest.mark.parametrize(
    ("address", "is_compressed"),
    [
        ("https://id.gs1.org/ARFKk4XB0CDKWcnpq", True),  # /01/09506000134376/10/LOT01
        ("https://example.org/some/path/ARFKk4XB0CDKWcnpq?linkType=all", True),
        ("https://example.org/ARFKk4XB1CDKWcnpq", False),
        ("https://example.org/ARFKk4XB0", False),
        ("https://example.org/ARTICLES-OF-MAY", False),
        ("https://example.org/QRFKk4XB0CDKWcnpq", False),
    ],
)
def test_a_compressed_link_is_known_by_the_check_digit_within(address: str, is_compressed: bool) -> None:
    assert read(address) == (({}, ("digital_link_compressed",)) if is_compressed else None)


def test_what_is_no_value_stays_in_the_rest() -> None:
    link = read_link(f"https://shop.example/stem/01/{GTIN}/10/LOT?q=4111%201111&98=a%20b&97=X#end")

    assert link is not None
    assert link.rest.split("\n") == ["shop.example", "stem", "q=4111 1111", "a b", "#end"]
