"""What other channels know of members: taken in by source, sent to registers, gone with its time and its member."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from central import operations
from central.context import MAX_LINES, ContextFileError, context_from_json
from central.operations import ContextReport
from loyalty.member import ContextLine
from tests.central.conftest import RunningCentre
from tests.central.test_joining import row
from tests.central.till import NOON


def line(text: str, *, kind: str = "cart", hours: int = 0, until: datetime | None = None) -> dict[str, Any]:
    told = {"kind": kind, "text": text, "at": NOON - timedelta(hours=hours)}
    return told if until is None else told | {"until": until}


def document(*members: tuple[str, list[dict[str, Any]]], source: str = "webshop") -> bytes:
    told = [{"member": member, "lines": lines} for member, lines in members]
    return msgspec.json.encode({"source": source, "members": told})


def tell(centre: RunningCentre, *members: tuple[str, list[dict[str, Any]]], source: str = "webshop") -> ContextReport:
    told = document(*members, source=source)
    report: ContextReport = centre.write(lambda c: operations.import_context(c, told, NOON))
    return report


def shown(centre: RunningCentre, member: str = "m1") -> list[str]:
    return [one.text for one in row(centre, member).context or ()]


async def test_registers_are_told_the_newest_lines_of_all_sources(centre: RunningCentre) -> None:
    till = await centre.till()
    before = (await till.changes()).next

    told = tell(centre, ("ts 0001", [line("two shirts", hours=3), line("a pram", kind="order", hours=1)]))
    tell(centre, ("m1", [line("fitting", kind="appointment", hours=-24)]), source="booking")

    assert (told.changed, told.unchanged, told.unknown) == (1, 0, ())
    assert shown(centre) == ["fitting", "a pram", "two shirts"]
    centre.place(NOON)
    (change,) = (await till.changes(before)).changes
    assert change.row
    assert change.row.context == row(centre, "m1").context


def test_a_source_takes_back_what_it_told_and_nothing_of_another(centre: RunningCentre) -> None:
    tell(centre, ("m1", [line("two shirts")]))
    tell(centre, ("m1", [line("fitting", hours=1)]), source="booking")

    assert tell(centre, ("m1", [line("two shirts")])).unchanged == 1
    tell(centre, ("m1", [line("a coat")]))
    assert shown(centre) == ["a coat", "fitting"]
    tell(centre, ("m1", []))
    assert shown(centre) == ["fitting"]
    tell(centre, ("m1", []), source="booking")
    assert not row(centre, "m1").context


def test_what_is_over_is_shown_to_nobody(centre: RunningCentre) -> None:
    tell(centre, ("m1", [line("gone", until=NOON), line("here", until=NOON + timedelta(seconds=1))]))

    assert shown(centre) == ["here"]


def test_a_cashier_is_told_no_more_than_is_read_in_a_glance(centre: RunningCentre) -> None:
    for source in ("one", "two"):
        tell(centre, ("m1", [line(f"{source} {hours}", hours=hours) for hours in range(MAX_LINES)]), source=source)

    assert shown(centre) == ["one 0", "two 0", "one 1", "two 1"]


def test_whom_nobody_has_is_passed_over(centre: RunningCentre) -> None:
    told = tell(centre, ("nobody", [line("x")]), ("m1", [line("y")]))

    assert (told.changed, told.unknown) == (1, ("nobody",))


def test_members_who_are_one_have_the_lines_of_both(centre: RunningCentre) -> None:
    document = {"members": [{"member": "m-other"}]}
    centre.write(lambda c: operations.import_file(c, msgspec.json.encode(document), NOON))
    tell(centre, ("m1", [line("stays")]), ("m-other", [line("goes")]))
    tell(centre, ("m-other", [line("fitting", hours=1)]), source="booking")

    centre.write(lambda c: operations.merge_members(c, "m-other", "m1", "one person", NOON))

    assert shown(centre) == ["stays", "fitting"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b"{", r"docs/central\.md"),
        (document(("m1", [line("x", kind="rumour")])), r"\.kind"),
        (document(("m1", [line("x") | {"price": 1}])), "price"),
        (document(("m1", [line("x" * 81)])), r"\.text"),
        (document(("m1", [line("x")] * (MAX_LINES + 1))), r"\.lines"),
        (
            document(("m1", [line("pays with 4111 1111 1111 1111")])),
            r"\$\.members\[0\]\.lines\[0\]\.text holds a payment",
        ),
        (document(("m1", [line("x")]), source="Web Shop"), r"\.source"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(told: bytes, why: str) -> None:
    with pytest.raises(ContextFileError, match=why):
        context_from_json(told)


def test_a_kind_that_is_newer_than_a_register_is_kept(centre: RunningCentre) -> None:
    newer = msgspec.json.encode({"kind": "warranty", "text": "until May", "at": NOON, "shade": "blue"})

    assert msgspec.json.decode(newer, type=ContextLine).text == "until May"
