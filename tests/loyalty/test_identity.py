"""Identity of a transaction."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from loyalty import identity
from loyalty.receipt import Fiscal
from tests.loyalty.receipts import MORNING, sale


def test_the_fiscal_number_comes_before_the_tills_own() -> None:
    receipt = replace(
        sale("4711", 100),
        store="12",
        register="3",
        business_day=date(2026, 11, 22),
        fiscal=Fiscal(scheme="rs-purs", number="746duv64-746DUV64- 16898"),
    )

    identified = identity.identified(receipt, b"job")

    assert identified.key == identity.key_of("rs-purs:746DUV64-746DUV64-16898")
    assert identified.also == ("pos:12/3/2026-11-22/4711",)


def test_the_namespace_is_the_published_one() -> None:
    # A change here would give every receipt in the field a second identity.
    assert str(identity.NAMESPACE) == "d7c83c0b-ca85-5d1f-9143-30e96c5f2e95"
    assert identity.key_of("rs-purs:A-B-1") == "10f271a5-6aea-5289-9308-6197159b0912"
    ids = [f"pos:1/1/2026-11-22/{number}" for number in range(20)]
    assert [identity.key_of(each) for each in ids] == [str(uuid.uuid5(identity.NAMESPACE, each)) for each in ids]


def test_a_job_without_any_id_is_known_by_its_bytes_and_says_so() -> None:
    first = identity.identified(sale("4711", 100), b"job")

    assert first.key == identity.identified(sale("4711", 100), b"job").key
    assert first.key != identity.identified(sale("4711", 100), b"other").key
    assert first.also == ()
    assert [(problem.code, problem.detail) for problem in first.problems] == [
        ("weak_identity", "nothing on the receipt names it; the job's bytes do")
    ]


def test_a_till_that_tells_no_day_names_no_receipt() -> None:
    undated = replace(sale("4711", 100), store="12", register="3")

    assert identity.natural_ids(undated) == ()


def test_a_sale_that_was_parked_has_the_key_of_its_own_number() -> None:
    # given a sale that was parked under a lower number, and knows a fiscal scheme of nobody
    parked = "pos:12/3/2026-11-22/1"
    receipt = replace(
        sale("4711", 100),
        store="12",
        register="3",
        business_day=date(2026, 11, 22),
        also=("aa:1", parked),
    )

    assert identity.natural_ids(receipt) == ("pos:12/3/2026-11-22/4711", parked, "aa:1")


def test_a_slash_in_a_part_cannot_make_two_receipts_one() -> None:
    assert identity.pos_id("1/2", "3", "2026-11-22", "4") != identity.pos_id("1", "2/3", "2026-11-22", "4")
    assert identity.pos_id(" 1  2 ", "3", "2026-11-22", "4") == identity.pos_id("1 2", "3", "2026-11-22", "4")
    # written as it is published; others make it from the same facts
    assert identity.pos_id(" Novi  Sad ", "3/a", "2026-11-22", "47 11") == "pos:Novi+Sad/3%2Fa/2026-11-22/47+11"


def test_croatian_and_slovenian_ids_are_lower_case() -> None:
    assert identity.hr_fisk("ABC1") == "hr-fisk:abc1"
    assert identity.hr_jir("9D6F-01") == "hr-jir:9d6f-01"
    assert identity.si_furs("AB") == "si-furs:ab"


@pytest.mark.parametrize(
    ("fiscal", "normal"),
    [
        (Fiscal(scheme="rs-purs", number="746duv64-746DUV64- 16898"), "746DUV64-746DUV64-16898"),
        (Fiscal(scheme="hr-fisk", number=" ABC1 "), "abc1"),
        (Fiscal(scheme="si-furs", number="AB"), "ab"),
        (Fiscal(scheme="si-furs"), None),
    ],
)
def test_a_fiscal_number_has_the_form_of_its_scheme(fiscal: Fiscal, normal: str | None) -> None:
    receipt = replace(sale("1", 100), fiscal=fiscal)

    assert identity.fiscal_number(fiscal) == normal
    assert identity.natural_ids(receipt) == (() if normal is None else (f"{fiscal.scheme}:{normal}",))


def test_a_number_of_no_scheme_may_be_of_any() -> None:
    assert identity.fiscal_ids("Ab 1") == ("rs-purs:AB1", "hr-fisk:ab1", "si-furs:ab1", "hr-jir:ab1")
    assert identity.fiscal_ids(" ") == ()


def test_an_id_of_an_unknown_scheme_ranks_last() -> None:
    receipt = replace(sale("1", 100), also=("xx:1", "pos:1/1/2026-11-22/1"))

    assert identity.natural_ids(receipt) == ("pos:1/1/2026-11-22/1", "xx:1")


def test_identity_keys_are_those_of_all_ids_once() -> None:
    receipt = replace(sale("1", 100), key=identity.key_of("a:1"), also=("a:1", "b:2"))

    assert identity.identity_keys(receipt) == (identity.key_of("a:1"), identity.key_of("b:2"))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"total_minor": 101}, False),
        ({"kind": "return"}, False),
        ({"currency": "RSD"}, False),
        ({"issued_at": UNSET}, True),
        ({"operator": "Ana"}, True),
    ],
)
def test_content_is_kind_currency_total_and_minute(change: dict[str, object], same: bool) -> None:
    known = sale("1", 100)

    assert identity.same_content(known, replace(known, **change)) is same
    assert identity.same_content(replace(known, **change), known) is same


def test_seconds_do_not_matter_and_minutes_do() -> None:
    known = sale("1", 100)
    assert known.issued_at is not UNSET

    assert identity.same_content(known, replace(known, issued_at=known.issued_at + timedelta(seconds=59)))
    assert not identity.same_content(known, replace(known, issued_at=known.issued_at + timedelta(seconds=60)))


def test_a_minute_is_named_by_its_first_moment() -> None:
    moment = MORNING + timedelta(seconds=41, microseconds=5)

    assert identity.minute_of(moment) == MORNING


def test_hyphens_and_case_of_a_printed_number_name_no_other_receipt() -> None:
    jir, zki = "9d6f5bb6-da48-4fcd-a803-4586a025e0e4", "e4d909c290d0fb1ca068ffaddf22cbd0"
    for printed in (jir, jir.upper(), jir.replace("-", ""), jir.replace("-", " - ")):
        assert identity.hr_jir(printed) == f"hr-jir:{jir}"
    for printed in (zki, zki.upper(), f"{zki[:16]} {zki[16:]}", f"{zki[:8]}-{zki[8:]}"):
        assert identity.hr_fisk(printed) == f"hr-fisk:{zki}"
        assert identity.si_furs(printed) == f"si-furs:{zki}"
