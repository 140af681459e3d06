"""One malformed transaction stops no other, its bytes are told, and a bomb costs next to nothing."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.poslog_cut import MAX_TRANSACTION_BYTES
from drivers.receipts.poslog_tree import MAX_TAGS
from tests.drivers.receipts.poslogs import poslog, sale, transaction

POSLOG = DecodeOptions(format="poslog")
MAX_GROWN_BYTES = 50 * 1024 * 1024


def good(number: int, name: str = "Bread") -> str:
    return transaction(sale("3.00", name=name), total="3.00", number=number)


def numbers(document: bytes) -> list[str | None]:
    return [receipt.number or None for receipt in decode(document).receipts]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (good(2).replace("</Description>", ""), "bad_xml"),
        (good(2).replace("</Transaction>", ""), "torn"),
        (good(2).replace("<Transaction", "<Transactio", 1), "bad_xml"),
        (good(2).replace("Bread", "&nbsp;"), "bad_xml"),
        (good(2).replace("Bread", "a < b"), "bad_xml"),
        (good(2).replace("Bread", "<!-- never closed"), "bad_xml"),
        (good(2).replace("Bread", "<![CDATA[ never closed"), "bad_xml"),
        (good(2).replace("Bread", "<!DOCTYPE x>"), "bad_xml"),
        (good(2).replace("Bread", "\x00"), "bad_xml"),
        (good(2).replace("<ExtendedAmount>3.00", "<ExtendedAmount>three"), "bad_amount"),
        (good(2).replace("<ExtendedAmount>3.00", "<ExtendedAmount>999999999999999"), "bad_amount"),
        (good(2).replace("Bread", "x" * MAX_TRANSACTION_BYTES), "too_large"),
        (good(2).replace("Bread", "<b/>" * (MAX_TAGS + 1)), "too_large"),
        ("<Transaction><RetailTransaction/></Transaction>", "no_total"),
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_the_others_come_out_and_the_bytes_of_the_bad_one_are_told(bad: str, code: str, codec: str) -> None:
    document = poslog(good(1), bad, good(3, "Žemlja"), good(4)).replace("UTF-8", codec).encode(codec)
    decoded = decode(document)
    assert [receipt.number for receipt in decoded.receipts] == ["1", "3", "4"]
    (problem,) = decoded.problems
    assert problem.code == code
    part = document[problem.start : problem.end].decode("utf-16-le" if codec == "utf-16" else codec)
    assert part == bad


def test_what_one_transaction_leaves_open_does_not_reach_into_the_next() -> None:
    bad = good(2).replace("Bread", "<![CDATA[ never closed")
    decoded = decode(poslog(good(1), bad, good(3, "<![CDATA[Milk]]>"), good(4)).encode())
    found = [(receipt.number, receipt.lines[0].description) for receipt in decoded.receipts]
    assert found == [("1", "Bread"), ("3", "Milk"), ("4", "Bread")]


def test_what_only_looks_like_a_transaction_is_none() -> None:
    hidden = f"<!-- {good(8)} -->"
    text = good(1, f"<![CDATA[{good(9)}]]>") + good(2, f"<!-- {good(7)} -->Milk")
    inner = good(3, "<v:Transaction>x</v:Transaction>Tea")
    assert numbers(poslog(hidden, text, inner, declared="xmlns:v='urn:v'").encode()) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-2", "windows-1250"]
)
def test_letters_in_many_encodings(codec: str) -> None:
    document = poslog(good(1, "Čvarci žuti &amp; &#x160;unka")).replace("UTF-8", codec.removesuffix("-sig"))
    (receipt,) = decode(document.encode(codec)).receipts
    assert receipt.lines[0].description == "Čvarci žuti & Šunka"


def test_several_documents_in_one_file_each_in_its_own_letters() -> None:
    first = poslog(good(1, "Čaj")).encode()
    second = poslog(good(2, "Čaj")).replace("UTF-8", "windows-1250").encode("cp1250")
    decoded = decode(first + b"\n" + second + b"\xef\xbb\xbf" + first)
    assert [each.lines[0].description for each in decoded.receipts] == ["Čaj"] * 3


def test_a_damaged_letter_costs_a_letter() -> None:
    (receipt,) = decode(poslog(good(1, "Čaj")).encode().replace("Č".encode(), b"\xff")).receipts
    assert receipt.lines[0].description == "\ufffdaj"


@pytest.mark.parametrize("wrapped", ["<Batch><LogDocuments>{}</LogDocuments></Batch>", "{}"])
def test_a_transaction_is_found_in_whatever_holds_it(wrapped: str) -> None:
    assert numbers(wrapped.format(good(1)).encode()) == ["1"]


def test_an_empty_log_is_blank_and_another_xml_a_problem() -> None:
    assert [each.kind for each in decode(poslog().encode()).ignored] == ["blank"]
    assert [each.code for each in decode(b"<?xml version='1.0'?><feed/>").problems] == ["no_transaction"]
    # a web page is a text
    assert [each.code for each in decode(b"<!DOCTYPE html><html>\n").problems] == ["unknown_layout"]


LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
DECLARED = "<!DOCTYPE POSLog [<!ENTITY"
BOMBS = {
    "a billion laughs": f"{DECLARED} l0 'lol'>{LAUGHS}]><POSLog>{good(1, '&l9;')}</POSLog>",
    "quadratic": f"{DECLARED} a '{'a' * 50_000}'>]><POSLog>{good(1, '&a;' * 50_000)}</POSLog>",
    "a file from outside": f"{DECLARED} f SYSTEM 'file:///etc/passwd'>]><POSLog>{good(1, '&f;')}</POSLog>",
    "a document type from outside": f"<!DOCTYPE POSLog SYSTEM 'http://192.0.2.1/x.dtd'><POSLog>{good(1)}</POSLog>",
    "deep": poslog(f"<Transaction>{'<a>' * 90_000}{'</a>' * 9_000}</Transaction>"),
    "deep and whole": poslog(good(1, "<a>" * 49_000 + "</a>" * 49_000)),
    "deeper": "<POSLog><Transaction>" + "<a>" * 2_000_000,
    "attributes": poslog("<Transaction " + " ".join(f"a{n}='x'" for n in range(40_000)) + "></Transaction>"),
    "one huge attribute": poslog(f"<Transaction a='{'x' * 3_000_000}'></Transaction>"),
    "openers": "<POSLog>" + "<!--" * 100_000 + "-->",
    "openers of all kinds": "<POSLog>" + "<!--<![CDATA[<?" * 40_000,
    "starts": "<POSLog>" + "<Transaction " * 20_000,
    "prefixes": poslog("<Transaction>" + "".join(f"<p{n}:a/>" for n in range(40_000)) + "</Transaction>"),
    "blanks": "<POSLog" + " " * 3_000_000,
}


# One that goes off takes minutes, or all the memory.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_cheaply(bomb: str) -> None:
    document = BOMBS[bomb].encode()
    started = time.process_time()
    decoded = decode(document, POSLOG)
    print(f"{(time.process_time() - started) * 1000:.0f} ms, {len(document) / 1e6:.1f} MB")
    assert decoded.problems or bomb == "deep and whole"
    tracemalloc.start()
    decode(document, POSLOG)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{peak / 1e6:.0f} MB at most")
    assert peak < MAX_GROWN_BYTES


def test_a_document_type_is_named_and_nothing_of_it_read() -> None:
    (problem,) = decode(BOMBS["a file from outside"].encode()).problems
    assert problem.code == "dtd_refused"
    assert decode(BOMBS["a billion laughs"].encode()).receipts == ()
