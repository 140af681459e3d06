"""The table of application identifiers: whole, and of one mind with itself and with another's table."""

from __future__ import annotations

import re

import pytest
from biip.gs1_application_identifiers import _GS1_APPLICATION_IDENTIFIERS

from drivers.scanning.gs1_identifiers import (
    AI_LENGTHS,
    FORM_OF,
    NOT_IN_QUERY,
    PREDEFINED_LENGTHS,
    PRIMARY_KEYS,
    form,
)


def test_the_first_two_digits_tell_how_long_an_identifier_is() -> None:
    """GS1 General Specifications section 7.8.2: so a message can be cut at all."""
    assert all(len(ai) == AI_LENGTHS[ai[:2]] for ai in FORM_OF)


def test_a_predefined_length_is_that_of_every_identifier_it_begins() -> None:
    for ai, written in FORM_OF.items():
        if ai[:2] in PREDEFINED_LENGTHS:
            assert len(ai) + form(written).longest == PREDEFINED_LENGTHS[ai[:2]]
            assert re.fullmatch(r"n\d+(:\w+)?", written)


def test_the_table_is_that_of_the_oracle() -> None:
    oracle = {identifier.ai: identifier for identifier in _GS1_APPLICATION_IDENTIFIERS.values()}

    assert oracle.keys() == FORM_OF.keys()
    assert {ai for ai, identifier in oracle.items() if not identifier.separator_required} == {
        ai for ai in FORM_OF if ai[:2] in PREDEFINED_LENGTHS
    }


def test_digital_link_names_only_known_identifiers() -> None:
    qualifiers = {ai for choices in PRIMARY_KEYS.values() for choice in choices for ai in choice}

    assert (PRIMARY_KEYS.keys() | qualifiers | NOT_IN_QUERY) <= FORM_OF.keys()
    assert not PRIMARY_KEYS.keys() & NOT_IN_QUERY


@pytest.mark.parametrize(
    ("ai", "value", "problem"),
    [
        # Each of these breaks one of the GS1 Barcode Syntax Tests, and nothing else.
        ("00", "123456789012345675", None),
        ("00", "123456789012345670", "check_digit_wrong"),
        ("253", "1231231231232TEST5678901234567", None),
        ("253", "1231231231233TEST", "check_digit_wrong"),
        ("255", "1231231231232123456789012", None),
        ("402", "95201234567891235", None),
        ("402", "95201234567891234", "check_digit_wrong"),
        ("410", "9520123456788", None),
        ("417", "9520123456789", "check_digit_wrong"),
        ("8003", "02112345678900ABC", None),
        ("8003", "02112345678901ABC", "check_digit_wrong"),
        ("8003", "12112345678900", "gs1_value_wrong"),
        ("8006", "123123123123330101", None),
        ("8006", "123123123123340101", "check_digit_wrong"),
        ("8006", "123123123123330099", "gs1_value_wrong"),
        ("8006", "123123123123330100", "gs1_value_wrong"),
        ("8026", "123123123123330302", "gs1_value_wrong"),
        ("8013", "1987654Ad4X4bL5ttr2310c2K", None),
        ("8013", "1987654Ad4X4bL5ttr2310cXK", "check_digit_wrong"),
        ("8013", "A", "check_digit_wrong"),
        ("8018", "123456789012345675", None),
        ("8017", "123456789012345676", "check_digit_wrong"),
        ("8007", "FR7630006000011234567890189", None),
        ("8007", "FR7630006000011234567890188", "check_digit_wrong"),
        ("8007", "FR12_45678901234", "check_digit_wrong"),
        ("11", "201231", None),
        ("17", "200600", None),  # a month without a day
        ("15", "200229", None),
        ("15", "210229", "date_wrong"),
        ("11", "131313", "date_wrong"),
        ("11", "200010", "date_wrong"),
        ("11", "200431", "date_wrong"),
        ("17", "000000", "date_wrong"),
        ("4326", "201200", "date_wrong"),
        ("4326", "201231", None),
        ("4324", "2012252359", None),
        ("4324", "2012009999", None),  # any time of that month's last day
        ("4324", "2012252400", "date_wrong"),
        ("4324", "2012252360", "date_wrong"),
        ("7003", "2012252359", None),
        ("7003", "2012002359", "date_wrong"),
        ("7007", "211225", None),
        ("7007", "211225211231", None),
        ("7007", "211225211331", "date_wrong"),
        ("7011", "2112252359", None),
        ("8008", "20122523", None),
        ("8008", "201225235959", None),
        ("8008", "201225230060", "date_wrong"),
        ("8008", "20122524", "date_wrong"),
        ("7250", "19000228", None),
        ("7250", "19000229", "date_wrong"),
        ("7250", "20000229", None),
        ("17", "000229", None),
        ("7250", "20011301", "date_wrong"),
        ("7251", "200002291200", None),
        ("401", "1234ABC", None),
        ("401", "123", "gs1_value_wrong"),
        ("7023", "12A4", "gs1_value_wrong"),
        ("8010", "123456-/#", None),
        ("8011", "0", None),
        ("8011", "023456789012", "gs1_value_wrong"),
        ("4300", "ABC%0g", "gs1_value_wrong"),
        ("4300", "A%20B", None),
        ("4307", "SI", None),
        ("4307", "12", "gs1_value_wrong"),
        ("4309", "18000000003600000000", None),
        ("4309", "18000000010000000000", "gs1_value_wrong"),
        ("4309", "00000000003600000001", "gs1_value_wrong"),
        ("4321", "1", None),
        ("4321", "2", "gs1_value_wrong"),
        ("4330", "000123-", None),
        ("4330", "000000X", "gs1_value_wrong"),
        ("7040", "1AB_", None),
        ("7040", "1AB=", "gs1_value_wrong"),
        ("7241", "10", None),
        ("7241", "11", "gs1_value_wrong"),
        ("7252", "9", None),
        ("7252", "3", "gs1_value_wrong"),
        ("7258", "2/3", None),
        ("7258", "3/2", "gs1_value_wrong"),
        ("7258", "1/0", "gs1_value_wrong"),
        ("8001", "12341234512398", None),
        ("8001", "12340000012311", "gs1_value_wrong"),
        ("8001", "12341234512321", "gs1_value_wrong"),
        ("8030", "AZaz09_-", None),
    ],
)
def test_a_value_is_tested_as_the_standard_says(ai: str, value: str, problem: str | None) -> None:
    shape = form(FORM_OF[ai])
    components = shape.exact.fullmatch(value)

    assert components is not None
    assert shape.problem(components.groups()) == problem


@pytest.mark.parametrize(
    ("ai", "value"),
    [
        ("01", "123"),
        ("01", "A2345678901231"),
        ("01", "٠١٢٣٤٥٦٧٨٩٠١٢٣"),
        ("10", ""),
        ("10", "A B"),
        ("10", "A#B"),
        ("10", "A" * 21),
        ("242", "1234567"),
        ("3100", "12345"),
        ("7007", "21122521123"),
        ("7230", "12"),
        ("8010", "12345_"),
        ("8030", "ABC:123"),
        ("8111", "123"),
        ("99", "~"),
    ],
)
def test_a_value_of_another_form_is_none(ai: str, value: str) -> None:
    assert form(FORM_OF[ai]).exact.fullmatch(value) is None
