"""What names a receipt of a layout, and how it writes numbers and dates: decimal mark, forms of dates, labels.

Owns the further words that are looked for while learning, since a person judges a proposal. Never reads an amount.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from drivers.receipts.dates import date_pattern
from drivers.receipts.shapes import MAX_FREE_FIELDS, DecimalMark, Notation, ShapeError, compiled_shape, escaped
from drivers.receipts.template import (
    MAX_WORD_LETTERS,
    MAX_WORDS,
    SHAPE_FIELDS,
    WORD,
    Head,
    Labels,
    Recognise,
    ShapeText,
    Template,
    merged,
)
from drivers.receipts.template_files import SHIPPED, shipped
from drivers.receipts.wording import folded, plain
from drivers.receipts.words import Layout

Paper = Sequence[str]
# What stands on so many of the receipts is printed by the layout and not by chance, in percent.
MOST_PERCENT: Final = 60
# Letters of a line that may be a shop's name.
_LEAST_WORDS: Final = 4
_ANY_AMOUNT: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:[.,' ]\d{3})*([.,])\d{2}(?![\d%]|[.,]\d)")
_NUMERIC_DATE: Final = re.compile(r"(?<![\d.,])(\d{1,4})(\s?[./-]\s?)(\d{1,2})\s?[./-]\s?(\d{4}|\d{2})(?![\d])")
_NAMED_DATE: Final = re.compile(r"(?<!\d)\d{1,2}\.?([ -])[A-Z]{3,9}\.?[ -](\d{4}|\d{2})(?!\d)")
_AMERICAN_DATE: Final = re.compile(r"(?<![A-Z])[A-Z]{3,9}\.? \d{1,2}, ?\d{4}(?!\d)")

# Words for facts that stand on receipts and that the generic layout is too careful to look for.
_MORE_LABELS: Final[dict[str, tuple[str, ...]]] = {
    "numero": ("#", "Nr.", "No.", "Br.", "ID", "Num"),
    "number": (
        "Rcpt", "Ticket", "Trans", "Transaction", "Txn", "Check", "Doc", "Document", "Slip", "Sale", "Order",
        "Bonnummer", "Belegnummer", "Rechnungsnummer", "Belegnr", "Bonnr", "Quittung", "Broj računa", "Br. računa",
        "Dokument", "Rn", "Isječak", "Isečak", "Številka računa", "Št. računa", "Listič", "Broj", "Vorgang",
        "Transakcija",
    ),
    "store": (
        "Location", "Outlet", "Filialnummer", "Filial", "Filialnr", "Fil", "Standort", "Geschäft", "Objekt", "PJ", "PE",
        "PP", "Maloprodaja", "MP", "Lokal", "Lokacija",
    ),
    "register": (
        "Reg", "Terminal", "POS", "Station", "Kassen", "Kassennummer", "Kassennr", "Kassa", "Uređaj", "ENU", "NU",
        "Elektronska naprava",
    ),
    "operator": (
        "Op", "Served", "Server", "You were served by", "Staff", "Es bediente Sie", "Bedient von", "Verkäufer",
        "Verkäuferin", "Mitarbeiter", "Radnik", "Zaposleni", "Zaposlenik", "Djelatnik", "Oper", "Uslužio", "Poslužio",
        "Postregel", "Prodao", "Izdal",
    ),
    "member": (
        "Club", "Club card", "Bonuskarte", "Kundennummer", "Klub kartica", "Lojalnost", "Kartica članstva",
        "Klubska kartica",
    ),
    "original": ("Original", "Orig", "Refund of", "Zu Bon", "Bezug", "Ref. broj", "Veza", "Zveza"),
}  # fmt: skip


def is_most(count: int, papers: Sequence[object]) -> bool:
    return count * 100 >= MOST_PERCENT * len(papers) and count > 0


def decimal_mark(papers: Sequence[Paper]) -> DecimalMark:
    """The mark before the cents of most amounts."""
    marks = Counter(match[1] for paper in papers for line in paper for match in _ANY_AMOUNT.finditer(line))
    if not marks:
        return "either"
    return "." if marks["."] >= marks[","] else ","


def date_forms(papers: Sequence[Paper]) -> tuple[str, ...]:
    """The forms in which most receipts print a date; which of two numbers is the month, by what all of them can be."""
    forms: Counter[str] = Counter()
    for paper in papers:
        forms.update({form for line in paper for form in _forms_in(plain(line))})
    chosen = [form for form, count in forms.most_common() if is_most(count, papers)]
    return tuple(dict.fromkeys(_with_order(form, papers) if form.startswith("?") else form for form in chosen))


def _forms_in(line: str) -> Iterator[str]:
    for match in _NUMERIC_DATE.finditer(line):
        sign, year = match[2].strip(), "y" * len(match[4])
        if len(match[1]) == 4:
            yield f"yyyy{sign}mm{sign}dd"
        elif len(match[1]) <= 2:
            yield f"?{sign}{year}"
    for match in _NAMED_DATE.finditer(line):
        yield f"dd{match[1]}mmm{match[1]}{'y' * len(match[2])}"
    if _AMERICAN_DATE.search(line):
        yield "mmm dd, yyyy"


def _with_order(form: str, papers: Sequence[Paper]) -> str:
    """`?/yy` with day and month in their order: the month is never more than 12, and first only in American dates."""
    sign, year = form[1], form[2:]
    lines = [plain(line) for paper in papers for line in paper]
    pairs = [
        (int(match[1]), int(match[3]))
        for line in lines
        for match in _NUMERIC_DATE.finditer(line)
        if match[2].strip() == sign and len(match[4]) == len(year) and len(match[1]) <= 2
    ]
    half_days = any(re.search(r"\d\s?[AP]\.?M\b", line) for line in lines)
    month_first = any(second > 12 for _, second in pairs) or (
        sign == "/" and half_days and not any(first > 12 for first, _ in pairs)
    )
    return sign.join(("mm", "dd", year) if month_first else ("dd", "mm", year))


def with_more_labels(labels: Labels, papers: Sequence[Paper]) -> Labels:
    """The generic labels, and of the further words those that stand on the receipts."""
    text = "\n".join(plain(line) for paper in papers for line in paper)
    more = {
        key: tuple(word for word in words if re.search(rf"(?<!\w){re.escape(plain(word))}(?!\w)", text))
        for key, words in _MORE_LABELS.items()
    }
    return replace(
        labels, **{key: tuple(dict.fromkeys((*getattr(labels, key), *words))) for key, words in more.items()}
    )


def head_of(draft: Template, papers: Sequence[Paper], notes: list[str]) -> Head:
    """A line that holds the number by its place, where no label does: one of a shape whose number differs each time."""
    layout = Layout(draft)
    named = sum(any(layout.text(line).number for line in paper) for paper in papers)
    if is_most(named, papers):
        return Head()
    skeletons: dict[str, list[list[str]]] = {}
    for paper in papers:
        seen: set[str] = set()
        for line in paper:
            skeleton, numbers = _skeleton(line, draft)
            # What is nothing but a number is an article's as well.
            is_own = numbers and len(skeleton) > 1 and not layout.amount.search(plain(line))
            if is_own and skeleton not in seen:
                seen.add(skeleton)
                skeletons.setdefault(skeleton, []).append(numbers)
    for skeleton, lines in skeletons.items():
        for at in range(len(lines[0])):
            values = {numbers[at] for numbers in lines}
            if is_most(len(lines), papers) and len(values) == len(lines) > 1:
                parts = skeleton.split(_HERE)
                if len(parts) <= 1 + MAX_FREE_FIELDS:
                    between = ["{number}" if index == at else "{text}" for index in range(len(parts) - 1)]
                    shape = "".join(map("".join, zip(parts, [*between, ""], strict=True)))
                    if is_shape(shape, "head", draft.notation):
                        return Head(lines=(shape,))
    notes.append("no receipt number was found: name its words under [labels] number")
    return Head()


_HERE: Final = "\0"
_SOME_NUMBER: Final = re.compile(r"(?:(?<!\w)[A-Z]{1,4}[-/]?)?\d[\d/-]+")


def _skeleton(line: str, draft: Template) -> tuple[str, list[str]]:
    """A line with its date, its time and its numbers taken out, and those numbers."""
    letters = plain(line)
    for field, pattern in (("{date}", date_pattern(draft.dates)), ("{time}", r"\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AP]M)?")):
        found = re.search(pattern, letters)
        if found is not None:
            # One letter for the field, so that places in both stay the same.
            mark = "\1" if field == "{date}" else "\2"
            line = line[: found.start()] + mark + line[found.end() :]
            letters = letters[: found.start()] + mark + letters[found.end() :]
    numbers = _SOME_NUMBER.findall(line)
    skeleton = escaped(_SOME_NUMBER.sub(_HERE, line))
    return " ".join(skeleton.replace("\1", "{date}").replace("\2", "{time}").split()), numbers


def is_shape(written: ShapeText, table: str, notation: Notation) -> bool:
    """Whether what was proposed is a shape: damaged print may make none."""
    lines = (written,) if isinstance(written, str) else written
    try:
        compiled_shape(lines, SHAPE_FIELDS[table], notation)
    except ShapeError:
        return False
    return all(map(str.isprintable, lines))


def with_valid_words(draft: Template) -> Template:
    """The draft without words that no template may have: too long, or nothing but signs."""
    values = {}
    for part in draft.__struct_fields__:
        table = getattr(draft, part)
        if isinstance(table, Struct):
            lists = {
                key: getattr(table, key)
                for key in table.__struct_fields__
                if key not in ("lines", "of") or part == "labels"
            }
            kept = {key: tuple(filter(is_word, words))[:MAX_WORDS] for key, words in lists.items()}
            values[part] = replace(table, **kept)
    return replace(draft, **values)


def is_word(word: str) -> bool:
    """Whether a template may have the word."""
    return len(word) <= MAX_WORD_LETTERS and word.isprintable() and re.search(WORD, word) is not None


def recognise_of(papers: Sequence[Paper], notes: list[str]) -> Recognise:
    """The first line of words that stands on every receipt: the shop's name, mostly."""
    every = [{line.strip() for line in paper} for paper in papers]
    for line in papers[0][:12] if papers else ():
        words = line.strip(" *=-#")
        has_words = len(words) >= _LEAST_WORDS and any(map(str.isalpha, words)) and not any(map(str.isdigit, words))
        if has_words and all(line.strip() in lines for lines in every):
            return Recognise(all=(words[:MAX_WORD_LETTERS],))
    notes.append("nothing stands on every receipt: name words that only this layout has under [recognise]")
    return Recognise()


def without_other_languages(draft: Template, papers: Sequence[Paper]) -> Template:
    """The draft without the words of languages that are not these receipts', so that a person can read it."""
    text = f" {folded(' '.join(line for paper in papers for line in paper))} "

    def met(template: Template) -> int:
        sums = (template.total, template.subtotal, template.change, template.taxes)
        labels = template.labels
        words = [word for part in sums for word in part.words]
        words += [*labels.number, *labels.operator, *labels.store, *template.tenders.cash]
        return sum(f" {folded(word)} " in text for word in set(words))

    language = max(SHIPPED, key=lambda name: met(shipped(name)))
    # In a language that is not known the words that are met are all that is kept.
    is_known = met(shipped(language)) > 1
    own = shipped(language) if is_known else Template(name="none")
    others = merged("others", [shipped(name) for name in SHIPPED])
    values = {}
    for part in (
        "labels",
        "marks",
        "items",
        "discounts",
        "subtotal",
        "total",
        "taxes",
        "rounding",
        "change",
        "tenders",
    ):
        kept = {}
        table = getattr(draft, part)
        for key in table.__struct_fields__:
            words = getattr(table, key)
            if key in ("lines", "of", "begin") and part != "labels":
                continue
            generic, mine = set(getattr(getattr(others, part), key)), set(getattr(getattr(own, part), key))
            kept[key] = tuple(
                word for word in words if word not in generic or word in mine or f" {folded(word)} " in text
            )
        values[part] = replace(table, **kept)
    return replace(draft, language=language if is_known else "und", **values)
