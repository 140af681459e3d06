"""docs/receipt.md shows the receipt as the code has it: every key, every value of its lists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from loyalty import identification, receipt
from loyalty.receipt import Fiscal, Receipt

PAGE = Path(__file__).parents[2].joinpath("docs", "receipt.md").read_text(encoding="utf-8")
SHOWN: dict[str, Any] = json.loads(PAGE.split("```json\n")[1].split("```")[0])


def keys_of(value: object) -> set[str]:
    """All keys of a document, as paths without places in lists."""
    match value:
        case dict():
            return {f"{name}{rest}" for name, part in value.items() for rest in ("", *(f".{k}" for k in keys_of(part)))}
        case list():
            return set().union(*map(keys_of, value))
    return set()


def test_the_receipt_shown_has_every_key_and_no_other() -> None:
    read = msgspec.convert(SHOWN, Receipt)
    schema = msgspec.json.schema_components([Receipt])[1]

    def named(type_: str) -> set[str]:
        found = set()
        for name, part in schema[type_]["properties"].items():
            reference = re.search(r"#/\$defs/(\w+)", json.dumps(part))
            found |= {name} if reference is None else {name, *(f"{name}.{key}" for key in named(reference[1]))}
        return found

    assert keys_of(SHOWN) == named("Receipt")
    assert read.lines[0].position == 1


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("kind", receipt.ReceiptKind),
        ("status", receipt.ReceiptStatus),
        ("lines[].kind", receipt.LineKind),
        ("tenders[].kind", receipt.TenderKind),
        ("fiscal.scheme", get_type_hints(Fiscal)["scheme"]),
        ("member.kind", identification.MemberKind),
        ("member.entry", receipt.Entry),
    ],
)
def test_every_value_is_named_and_no_other(key: str, values: Any) -> None:
    [row] = re.findall(rf"^\| `{re.escape(key)}` \| ([^.|]*)", PAGE, flags=re.MULTILINE)
    named = set(re.findall(r"`([\w-]+)`", row)) - {"currency", "foreign_minor"}

    assert named == set(get_args(values))
