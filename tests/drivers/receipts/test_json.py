"""Receipts in JSON: whatever one of them is, the others come out."""

from __future__ import annotations

import pytest

from drivers.receipts.decode import decode
from drivers.receipts.json_receipts import MAX_RECEIPT_BYTES

GOOD = (
    b'{"kind":"sale","store":"1","register":"2","number":"3","business_day":"2026-11-22",'
    b'"currency":"EUR","total_minor":500}'
)
LAST = GOOD.replace(b'"3"', b'"4"')


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (GOOD.replace(b"500", b"NaN"), "bad_receipt"),
        (GOOD.replace(b"500", b"-Infinity"), "bad_receipt"),
        (GOOD.replace(b"500", b"1e400"), "bad_receipt"),
        (GOOD.replace(b"500", b"9" * 100_000), "bad_receipt"),
        (GOOD.replace(b"500", b"5.0"), "bad_receipt"),
        (GOOD.replace(b'"total_minor"', b'"total_minor":1,"total_minor"'), "bad_receipt"),
        (GOOD[:-1] + b',"fiscal":{"scheme":"rs-purs","number":"1","number":"2"}}', "bad_receipt"),
        (GOOD[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad_receipt"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "bad_receipt"),
        (b"[" * 100_000 + b"]" * 100_000, "bad_receipt"),
        (GOOD.replace(b'"3"', b'"' + b"x" * MAX_RECEIPT_BYTES + b'"'), "too_large"),
        (GOOD.replace(b'"3"', b'"\xff"'), "bad_receipt"),
        (GOOD.replace(b'"3"', b'"\\ud800"'), "bad_receipt"),
        (b"0," * 600_000 + b"0", "too_large"),
        (b"null", "bad_receipt"),
    ],
)
def test_a_bad_receipt_or_a_bomb_stops_no_other(bad: bytes, code: str) -> None:
    document = b'{"meta":[1],"receipts":[' + GOOD + b" , " + bad + b"," + LAST + b"]}"
    decoded = decode(document)
    assert [receipt.number for receipt in decoded.receipts] == ["3", "4"]
    (problem,) = decoded.problems
    assert problem.code == code
    assert document[problem.start : problem.end] == bad


def test_receipts_may_follow_one_another() -> None:
    text = GOOD.replace(b'"3"', b'"} ] \\" {"')
    assert [each.number for each in decode(text + b"\n" + LAST + b'\n{"receipts":[' + GOOD + b"]}").receipts] == [
        '} ] " {',
        "4",
        "3",
    ]


def test_what_is_torn_is_told() -> None:
    document = b'{"receipts":[' + GOOD + b"," + LAST[:-20]
    decoded = decode(document)
    assert [receipt.number for receipt in decoded.receipts] == ["3"]
    (problem,) = decoded.problems
    assert document[problem.start : problem.end] == LAST[:-20]
