"""Where a receipt is from and who sold, on paper whose words nobody knows: by what stays the same and what comes back.

Owns guesses at words for the store, the register, who sold, and a return. Each is named in a note, for a person to
check; where the known words tell a fact, none is made. Never reads an amount.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from drivers.receipts.dates import date_pattern
from drivers.receipts.layout_facts import explains, read_facts
from drivers.receipts.learning_head import Paper, is_most
from drivers.receipts.template import Template
from drivers.receipts.wording import folded
from drivers.receipts.words import Layout, Text

# A store's or a register's number; longer ones are of taxes, telephones and the post.
_PLACE: Final = re.compile(
    r"(?<![\w.,:/-])([^\W\d_][^\d:|#]{0,30}?)\s{0,3}([:.#]?)\s{0,3}(\d{1,5})(?![\w.,:/-]*\d)(?=\s{2,}|\s*\||\s+[^\W\d_]|,?\s[-/]?\s?|$)"
)
# What stands behind the first words of a line.
_FIRST_WORDS: Final = re.compile(r"\d.*")
_PARTS: Final = re.compile(r"\s{2,}|\s*\|\s*|,\s+|\s+[-/]\s+|\s+(?=[^\W\d_][^\s:\d]{0,20}:\s?\S)")
# A place that less speaks for is an address as well.
_LEAST_SCORE: Final = 2


class _Place(Struct, frozen=True, kw_only=True):
    """A word with the same number behind it on most receipts; `order` is where it stands."""

    word: str
    value: int
    score: int
    order: tuple[int, int]


def with_places(draft: Template, papers: Sequence[Paper], notes: list[str]) -> Template:
    """The draft with words for store, register and who sold, where it has none that these receipts print."""
    layout = Layout(draft)
    texts = [[layout.text(line) for line in paper] for paper in papers]
    facts = [read_facts(each, layout, None) for each in texts]
    is_known = {
        name: is_most(sum(getattr(each, name) is not None for each in facts), papers)
        for name in ("store", "register", "operator")
    }
    outside = [[(at, text) for at, text in enumerate(each) if _is_beside_goods(text, layout)] for each in texts]
    guessed: dict[str, str] = {}
    if not is_known["operator"]:
        guessed |= _sellers(outside, layout, papers)
    if not (is_known["store"] and is_known["register"]):
        sellers = {folded(word) for word in guessed.values()}
        guessed |= _places(outside, is_known, sellers, layout, papers)
    if not guessed:
        return draft
    said = ", ".join(f"{word} for the {name}" for name, word in guessed.items())
    notes.append(f"taken by their place alone: {said}; check them under [labels]")
    labels = {name: (*getattr(draft.labels, name), word) for name, word in guessed.items()}
    return replace(draft, labels=replace(draft.labels, **labels))


def with_returns(draft: Template, papers: Sequence[Paper], is_negative: Sequence[bool], notes: list[str]) -> Template:
    """The draft with the words that stand on all receipts below zero, above their goods, and on no other one."""
    layout = Layout(draft)
    returns = [paper for paper, negative in zip(papers, is_negative, strict=True) if negative]
    others = {
        _without_numbers(line)
        for paper, negative in zip(papers, is_negative, strict=True)
        if not negative
        for line in paper
    }
    if not returns or any(layout.returned.match(layout.text(line).plain) for line in returns[0]):
        return draft
    for line in returns[0]:
        text, word = layout.text(line), _FIRST_WORDS.sub("", line).strip(" *-=#.:")
        if explains(text, layout) or text.has_amount or not any(map(str.isalpha, word)):
            continue
        mark = _without_numbers(line)
        if mark not in others and all(mark in {_without_numbers(each) for each in paper} for paper in returns):
            notes.append(f"taken for the mark of a return: {word}; check it under [marks]")
            return replace(draft, marks=replace(draft.marks, returned=(*draft.marks.returned, word)))
    return draft


def _without_numbers(line: str) -> str:
    """A line without its numbers: that of the receipt which is brought back may stand behind the mark."""
    return re.sub(r"\d+", "", folded(line)).strip()


_Outside = Sequence[Sequence[tuple[int, Text]]]


def _is_beside_goods(text: Text, layout: Layout) -> bool:
    return not (layout.is_rule(text) or text.has_amount)


def _places(
    outside: _Outside, is_known: dict[str, bool], taken: set[str], layout: Layout, papers: Sequence[Paper]
) -> dict[str, str]:
    """Two numbers that stay the same: of a store, and of a register, which there are fewer of."""
    found: dict[str, list[_Place]] = defaultdict(list)
    for lines in outside:
        seen: dict[str, _Place] = {}
        for at, text in lines:
            for place in _places_in(at, text, lines, layout):
                seen.setdefault(folded(place.word), place)
        for word, place in seen.items():
            found[word].append(place)
    kept = [
        places[0]
        for word, places in found.items()
        if word not in taken
        and is_most(len(places), papers)
        and len({place.value for place in places}) * 2 <= len(places) + 1
    ]
    missing = [name for name in ("store", "register") if not is_known[name]]
    best = sorted(
        (place for place in kept if place.score >= _LEAST_SCORE), key=lambda place: (-place.score, place.order)
    )
    chosen = sorted(best[: len(missing)], key=lambda place: (-place.value, place.order))
    if len(chosen) < len(missing):
        missing = missing[-1:]
    return {name: place.word for name, place in zip(missing, chosen, strict=False)}


def _places_in(at: int, text: Text, lines: Sequence[tuple[int, Text]], layout: Layout) -> Iterator[_Place]:
    dates = re.compile(date_pattern(layout.template.dates))
    printed = dates.sub(lambda found: "|" * len(found.group()), text.plain)
    matches = list(_PLACE.finditer(printed))
    facts = [near for near, other in lines if other.day is not None or other.number is not None]
    for match in matches:
        word = text.printed[match.start(1) : match.end(1)].strip(" .")
        segment = text.plain[match.start() : match.end()]
        if any(known.search(segment) for known in (layout.number, layout.store, layout.register, layout.operator)):
            continue
        rest = text.printed[: match.start()] + text.printed[match.end() :]
        score = (
            2 * (match[2] == ":")
            + 2 * (len(matches) > 1 or text.day is not None or _PARTS.search(text.printed.strip()) is not None)
            + (" " not in word)
            + any(abs(near - at) <= 1 for near in facts)
            - (at <= 1)
            - (not rest.strip() and match[2] != ":" and " " in word)
        )
        yield _Place(word=word, value=int(match[3]), score=score, order=(at, match.start()))


def _sellers(outside: _Outside, layout: Layout, papers: Sequence[Paper]) -> dict[str, str]:
    """What stands behind the same word on most receipts, differs, and comes back: who sold."""
    segments: dict[str, list[list[str]]] = defaultdict(list)
    for lines in outside:
        seen: set[str] = set()
        for _, text in lines:
            for part in _PARTS.split(text.printed.strip()):
                words = part.replace(":", " : ").split()
                is_plain = layout.text(part).number is None and layout.text(part).day is None
                if len(words) > 1 and is_plain and words[0][:1].isalpha() and folded(words[0]) not in seen:
                    seen.add(folded(words[0]))
                    segments[folded(words[0])].append(words)
    best: tuple[int, str] | None = None
    for parts in segments.values():
        if not is_most(len(parts), papers):
            continue
        label = _common(parts)
        values = [" ".join(words[len(label) :]) for words in parts]
        word = " ".join(label).strip(" :.")
        kinds = len(set(values))
        comes_back = 1 < kinds < len(values)
        is_named = kinds == 1 and ":" in label and values[0][:1].isalpha()
        has_letters = any(map(str.isalpha, "".join(values)))
        if word and all(values) and not any(":" in value for value in values) and (comes_back or is_named):
            score = 2 * comes_back + has_letters + (":" in label)
            best = max(best or (0, ""), (score, word), key=lambda each: each[0])
    return {"operator": best[1]} if best is not None else {}


def _common(parts: Sequence[Sequence[str]]) -> list[str]:
    """The words with which all of them begin; where they are all the same, what stands before a colon."""
    label: list[str] = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            return label
        label.append(words[0])
    return label[: label.index(":") + 1] if ":" in label else label[:1]
