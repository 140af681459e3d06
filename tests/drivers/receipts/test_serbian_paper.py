"""Every fact of journals that are drawn at random is read back; a fact that is read wrongly is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from drivers.receipts.decode import decode
from loyalty.receipt import Receipt
from tests.drivers.receipts.serbian_paper import Facts, Paper, drawn

JOURNALS = 250


def test_every_fact_of_a_drawn_journal_is_read() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    # given journals in all forms that portal and tills give them
    for number in range(JOURNALS):
        paper = drawn(f"{seed}-{number}")
        # when they are read, then every fact is what was drawn
        assert wrong_facts(paper) == [], f"drawn('{seed}-{number}')"


def test_a_fact_that_is_read_wrongly_is_found() -> None:
    paper = drawn("any")
    total, lines = paper.facts["total_minor"], paper.facts["lines"]
    for name, fact in (("total_minor", total + 1), ("operator", "another"), ("lines", lines[:-1]), ("tenders", [])):
        told = Paper(document=paper.document, text=paper.text, facts=paper.facts | {name: fact})
        assert wrong_facts(told) != [], name


def wrong_facts(paper: Paper) -> list[tuple[str, Any, Any]]:
    """Facts that are read wrongly, with what was drawn and what was read."""
    decoded = decode(paper.document)
    if len(decoded.receipts) != 1 or decoded.problems or decoded.ignored:
        return [("document", "one receipt", decoded)]
    receipt = decoded.receipts[0]
    drawn_facts, read = dict(_flat(paper.facts)), dict(_flat(_read(receipt)))
    wrong = [
        (name, drawn_facts.get(name), read.get(name))
        for name in sorted({*drawn_facts, *read})
        if drawn_facts.get(name) != read.get(name)
    ]
    wrong += [("problems", (), receipt.problems)] if receipt.problems else []
    secret = paper.facts.get("secret")
    if secret and secret.encode() in msgspec.json.encode(decoded):
        wrong.append(("secret", "nowhere", secret))
    return wrong


def _flat(facts: Facts) -> Iterator[tuple[str, Any]]:
    for name, fact in facts.items():
        match fact:
            case _ if name == "secret":
                continue
            case list():
                yield from _flat({f"{name} {at}": each for at, each in enumerate(fact)})
            case dict():
                yield from ((f"{name} {part}", each) for part, each in fact.items())
            case _:
                yield name, fact


def _read(receipt: Receipt) -> Facts:
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    original = receipt.original
    facts = {
        "status": receipt.status, "kind": receipt.kind, "number": receipt.number, "issued_at": receipt.issued_at,
        "counter": receipt.fiscal.counter, "buyer_kind": receipt.fiscal.buyer_kind or None,
        "original": (original.number, original.issued_at or None) if original else None,
        "issuer": msgspec.to_builtins(receipt.fiscal.issuer), "total_minor": receipt.total_minor,
        "lines": [
            {
                "description": line.description, "unit": line.unit or None, "quantity": Decimal(line.quantity or 0),
                "unit_price": Decimal(line.unit_price or 0), "amount_minor": line.amount_minor,
                "discount_minor": line.discount_minor, "tax_labels": line.tax_labels,
            }
            for line in receipt.lines
        ],
        "tenders": [(tender.kind, tender.amount_minor) for tender in receipt.tenders],
        "change_minor": receipt.change_minor,
        "taxes": [(tax.label, tax.name, Decimal(tax.rate or 0), tax.amount_minor) for tax in receipt.taxes],
    }  # fmt: skip
    return facts | ({"operator": receipt.operator} if receipt.operator else {})
