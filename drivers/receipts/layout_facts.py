"""What the lines beside items and money say: number, time, place, who, and what kind of receipt it is.

Owns the reading of labels and marks by a layout's words. Never reads an amount.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Final

from msgspec import UNSET, Struct

from drivers.receipts.dates import date_in
from drivers.receipts.layout_money import total_at
from drivers.receipts.wording import WORDS_REMEMBERED, plain, printed_moment
from drivers.receipts.words import Layout, Text
from loyalty.receipt import Original, ReceiptKind, ReceiptStatus

# What `fiscal_lines` reads.
_FISCAL: Final = re.compile(r"\b(?:ZKI|JIR|ZOI|EOR)\b")
_CLOCK: Final = re.compile(
    r"(?<![\d:.,])(\d{1,2}:\d{2}(?::\d{2})?)(\s?(?:Z|[+-]\d{2}:?\d{2})\b)?(?:\s?([AP])\.?M\b)?(?![\d:])"
)
_DOTTED: Final = re.compile(r"(\d{1,2})\.(\d{2})(?:\.(\d{2}))?(?=\s|$|\D)")
# What stands behind a number that is no receipt's: `14 DANA`, `30 DAYS WITH RECEIPT`, `10 %`.
_COUNTED: Final = re.compile(r"\s*(?:%|[^\W\d_]\D*$)")
_SPOKEN: Final = re.compile(r"(?<![\d:.,])\d{1,2}\.\d{2}(?:\.\d{2})?(?=\s?(?:UHR|H)\b)")


class Facts(Struct, frozen=True, kw_only=True):
    """What the lines beside items and money say."""

    number: str | None = None
    register: str | None = None
    store: str | None = None
    operator: str | None = None
    member: str | None = None
    day: date | None = None
    business_day: date | None = None
    time_text: str = ""
    kind: ReceiptKind = "sale"
    status: ReceiptStatus = "final"
    original: Original | None = None


def clock_in(printed: str, *, dotted: bool = False) -> str:
    """The first clock time as `hh:mm[:ss]` with its offset; `dotted` says that the text is one, with points."""
    letters = plain(printed)
    if dotted and ":" not in letters:
        letters = _DOTTED.sub(lambda found: ":".join(part for part in found.groups() if part), letters)
    elif (spoken := _SPOKEN.search(letters)) is not None:
        letters = spoken.group().replace(".", ":")
    match = _CLOCK.search(letters.replace("T", " "))
    if match is None:
        return ""
    if match[3]:
        hour, _, rest = match[1].partition(":")
        return f"{int(hour) % 12 + (12 if match[3] == 'P' else 0)}:{rest}"
    return match[1] + (match[2] or "")


class _Said(Struct, frozen=True, kw_only=True, gc=False):
    """What one line beside items and money says."""

    original: str | None
    returned: str | None
    is_exchange: bool
    status: ReceiptStatus | None
    is_business_day: bool
    labels: tuple[tuple[str, str], ...]
    clock: str


# Labels and headings repeat on every receipt of a shop.
@lru_cache(maxsize=WORDS_REMEMBERED)
def _said(text: Text, layout: Layout) -> _Said:
    letters = text.plain
    original, returned = layout.original.match(letters), layout.returned.match(letters)
    joint = layout.joint(text.printed, letters) if text.has_digit else None
    labels: dict[str, str | None] = (
        {**joint}
        if joint is not None
        else {
            "register": _behind(layout.register, text) if text.has_digit else None,
            "store": _behind(layout.store, text) if text.has_digit else None,
            "operator": _behind(layout.operator, text, as_printed=True),
            "member": _behind(layout.member, text),
        }
    )
    # Before an amount the mark of a return may be the word for change.
    is_return = returned is not None and layout.amount.search(returned[1]) is None
    return _Said(
        original=original[1] if original is not None else None,
        returned=returned[1] if returned is not None and is_return else None,
        is_exchange=layout.exchange.match(letters) is not None,
        status=layout.status(text.printed),
        is_business_day=text.day is not None and layout.business_day.search(letters) is not None,
        labels=tuple((name, value) for name, value in labels.items() if value),
        clock=clock_in(text.printed) if text.has_digit else "",
    )


def read_facts(texts: Sequence[Text], layout: Layout, time_zone: str | None) -> Facts:
    """What is said first counts, but for the kind and the status of the receipt."""
    facts = _by_shapes(texts, layout)
    clocks: dict[int, str] = {}
    foot = total_at(texts)
    for at, text in enumerate(texts):
        if not text.plain:
            continue
        said = _said(text, layout)
        if _took_mark(facts, text, said, layout, time_zone, in_foot=foot is not None and at > foot):
            continue
        for name, value in (("number", text.number), ("day", text.day), *said.labels):
            if value:
                facts.setdefault(name, value)
        if said.clock:
            clocks[at] = said.clock
    if clocks:
        # The time stands with the date or beside it; opening hours may stand above both.
        day_at = next((at for at, text in enumerate(texts) if text.day and text.day == facts.get("day")), 0)
        near = (clocks[at] for at in (day_at, day_at + 1, day_at - 1) if at in clocks)
        facts.setdefault("time_text", next(near, next(iter(clocks.values()))))
    return Facts(**facts)  # type: ignore[arg-type]


def _took_mark(
    facts: dict[str, object], text: Text, said: _Said, layout: Layout, time_zone: str | None, *, in_foot: bool
) -> bool:
    """Whether the line says what the receipt is, or of which other one it is; kept then.

    In the foot shops print what holds for returns and exchanges of any receipt: there the number of one has to follow.
    """
    is_meant = not in_foot or _names_receipt(said.returned or "", layout)
    if said.original is not None:
        facts.setdefault("original", _original(said.original, text.printed, layout, time_zone))
        if said.returned is not None and is_meant:
            facts["kind"] = "return"
    elif said.returned is not None and facts.get("kind") != "return":
        if is_meant:
            found = _original(said.returned, text.printed, layout, time_zone)
            facts |= {"kind": "return"} | ({"original": found} if found is not None else {})
    elif said.is_exchange:
        if is_meant:
            facts["kind"] = "exchange"
    elif said.status is not None:
        facts["status"] = said.status
    elif said.is_business_day:
        facts["business_day"] = text.day
    else:
        return False
    return True


def _behind(pattern: re.Pattern[str], text: Text, *, as_printed: bool = False) -> str | None:
    match = pattern.search(text.plain)
    if match is None:
        return None
    return (text.printed[match.start(1) : match.end(1)] if as_printed else match[1]).strip()


def _by_shapes(texts: Sequence[Text], layout: Layout) -> dict[str, object]:
    facts: dict[str, object] = {}
    for shape in layout.head:
        for at in range(len(texts) - len(shape.lines) + 1):
            values: dict[str, str] = {}
            for line, text in zip(shape.lines, texts[at:], strict=False):
                found = line.match(text.printed, text.plain)
                if found is None:
                    break
                values |= found
            else:
                _add_values(facts, values, layout)
                break
    return facts


def _add_values(facts: dict[str, object], values: Mapping[str, str], layout: Layout) -> None:
    for name in ("number", "store", "register", "operator", "member"):
        if name in values:
            facts.setdefault(name, values[name] if name == "operator" else plain(values[name]))
    if "date" in values and (day := date_in(values["date"], layout.template.dates)) is not None:
        facts.setdefault("day", day)
    if "time" in values and (clock := clock_in(values["time"], dotted=True)):
        facts.setdefault("time_text", clock)
    if "original" in values:
        facts.setdefault("original", Original(number=plain(values["original"])))


def _names_receipt(rest: str, layout: Layout) -> bool:
    """Whether the number of a receipt stands behind a mark, and not one of days."""
    match = layout.of.match(rest)
    return match is not None and _COUNTED.match(rest, match.end()) is None


def _original(rest: str, printed: str, layout: Layout, time_zone: str | None) -> Original | None:
    """`of 4710`, and after it, as far as the till prints them, store, register, date and time."""
    match = layout.of.match(rest)
    if match is None:
        return None
    after = rest[match.end() :]
    store, register = layout.store.search(after), layout.register.search(after)
    day = date_in(printed, layout.template.dates)
    issued_at = printed_moment(day, clock_in(printed), time_zone) if day is not None else None
    return Original(
        number=match[1],
        store=store[1] if store is not None else UNSET,
        register=register[1] if register is not None else UNSET,
        business_day=day or UNSET,
        issued_at=issued_at or UNSET,
    )


def explains(text: Text, layout: Layout) -> bool:
    """Whether a line beside items and money is understood."""
    said = _said(text, layout)
    marks = (said.original, said.returned, said.status)
    if text.number is not None or text.day is not None or any(mark is not None for mark in marks):
        return True
    if said.labels or said.clock or said.is_exchange or _FISCAL.search(text.plain):
        return True
    return any(line.match(text.printed, text.plain) is not None for shape in layout.head for line in shape.lines)
