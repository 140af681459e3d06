"""What a magnetic stripe reader sends for one swipe: its tracks, their check characters, and the card's number.

Owns the tracks' grammar and what is kept of them: numbers, and of a payment card the ends of its number only.
Names, expiry dates, service codes and discretionary data are dropped here, whosever card it is. Total: any text
gives a `Swipe`, or None where it is none.

Sources: ISO/IEC 7811-2 and 7811-6 (character sets, sentinels, longitudinal redundancy check), ISO/IEC 7813
(tracks 1 and 2 of financial cards), ISO/IEC 4909 (track 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal

from loyalty.pan import Own, first_pan, luhn_holds, masked, nobodys

SwipeProblem = Literal["swipe_error", "payment_card"]
TrackNumber = Literal[1, 2, 3]

# With sentinels and check character, at the densities of the standard.
MAX_TRACK_CHARS: dict[TrackNumber, int] = {1: 79, 2: 40, 3: 107}

_ENDED_TRACK = re.compile(r"([%;+])([^?]{0,105})\?")
# As readers send them; on the card itself, track 3 begins like track 2.
_START_SENTINELS = "%;+"
_LINE_ENDS = "\r\n"
# Between the sentinels of a track that was there and could not be read.
_UNREADABLE = "E"
_ALPHABETS: dict[TrackNumber, re.Pattern[str]] = {
    1: re.compile(r"[ -_]*"),  # six bits, and parity
    2: re.compile(r"[0-?]*"),  # four bits, and parity
    3: re.compile(r"[0-?]*"),
}
_LETTERED_NUMBER = re.compile(r"[A-Z-]*[0-9][0-9A-Z-]*")
# Expiry date (a month is 01 to 12) and service code, by the digits that ISO/IEC 7813 gives meaning.
_VALIDITY = re.compile(r"[0-9]{2}(?:0[1-9]|1[0-2])[125679][0-9][0-7]")
# Lengths that ISO/IEC 7812-1 allows, and the first digits of travel and banking.
_FINANCIAL_LENGTHS = range(12, 20)
_FINANCIAL_INDUSTRIES = "345"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swipe:
    """One swipe. `numbers` are the card's, from track 2 before 1 before 3, each once; none of a payment card's.

    `swipe_error`: a track could not be read; without `numbers`, the card has to be swiped again. Of a payment
    card, `pan_ends` is the number with all but the first six and last four digits starred.
    """

    numbers: tuple[str, ...] = ()
    pan_ends: str = ""
    problems: tuple[SwipeProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """What stands between the sentinels of a track; None where that was not read right."""

    number: TrackNumber
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """The card's number on one track, empty if it has none, and the text where a financial card says its validity."""

    track: TrackNumber
    number: str
    validity: str


def read_swipe(text: str, own: Own = nobodys) -> Swipe | None:
    """The swipe that `text` is, with or without line ends between its tracks; None if it is none.

    `own` tells which numbers are surely this shop's, though they look like payment cards'.
    """
    tracks = _tracks(text.strip(_LINE_ENDS + " \t"))
    if tracks is None:
        return None
    cards = [_card(track.number, track.body) for track in tracks if track.body]
    cards.sort(key=lambda card: (2, 1, 3).index(card.track))
    for card in cards:
        pan = _pan(card)
        if pan is not None and not own(pan):
            return Swipe(pan_ends=masked(pan), problems=("payment_card",))
    failed = not cards or any(track.body is None for track in tracks)
    return Swipe(
        numbers=tuple(dict.fromkeys(card.number for card in cards if card.number)),
        problems=("swipe_error",) if failed else (),
    )


def _tracks(text: str) -> list[_Track] | None:
    """The tracks that `text` consists of; None if it consists of anything else."""
    tracks: list[_Track] = []
    sure = False  # garbage alone is no swipe
    while text:
        number = _track_number(text[0], tracks)
        ended = _ENDED_TRACK.match(text)
        if number is None:
            return None
        if ended is None:  # its end was lost
            tracks.append(_Track(number=number, body=None))
            return tracks if sure and len(text) <= MAX_TRACK_CHARS[number] else None
        body = ended[2]
        checked = _checked(number, body, text[ended.end() :])
        if checked is None or len(text) - len(checked[1]) > MAX_TRACK_CHARS[number]:
            return None
        right, text = checked
        fits = _ALPHABETS[number].fullmatch(body) is not None
        sure = sure or fits or body == _UNREADABLE
        tracks.append(_Track(number=number, body=body if right and fits and body != _UNREADABLE else None))
        text = text.lstrip(_LINE_ENDS)
    return tracks if sure else None


def _track_number(start: str, before: Sequence[_Track]) -> TrackNumber | None:
    """Which track begins with this sentinel; readers that know no `+` begin track 3 like track 2."""
    choices: dict[str, tuple[TrackNumber, ...]] = {"%": (1,), ";": (2, 3), "+": (3,)}
    taken = [track.number for track in before]
    return next((number for number in choices.get(start, ()) if number not in taken), None)


def _checked(track: TrackNumber, body: str, behind: str) -> tuple[bool, str] | None:
    """Whether the check character is right or absent, and what follows it; None if no track can end so."""
    if behind[:1] == _check_character(track, body) and _may_follow(behind[1:]):
        return True, behind[1:]
    if _may_follow(behind):
        return True, behind
    wrong = _ALPHABETS[track].fullmatch(behind[:1]) is not None and _may_follow(behind[1:])
    return (False, behind[1:]) if wrong else None


def _may_follow(text: str) -> bool:
    return not text or text[0] in _START_SENTINELS + _LINE_ENDS


def _check_character(track: TrackNumber, body: str) -> str:
    """The longitudinal redundancy check as readers send it: even parity of each bit over the sentinels too."""
    first, start, end = (0x20, "%", "?") if track == 1 else (0x30, ";", "?")
    return chr(first + reduce(xor, (ord(character) - first & 0x3F for character in start + body + end)))


def _card(track: TrackNumber, body: str) -> _Card:
    """Of a track that was read right, what matters."""
    if track == 1:
        head, _, rest = body.partition("^")
        digits = head.replace(" ", "")  # some issuers print the number in groups
        financial = bool(rest) and digits[:1] == "B" and _is_digits(digits[1:])
        number = digits[1:] if financial else digits if _is_digits(digits) else head.strip()
        known = _LETTERED_NUMBER.fullmatch(number) is not None  # and no name
        return _Card(track=track, number=number if known else "", validity=rest.partition("^")[2])
    head, _, rest = body.partition("=")
    return _Card(track=track, number=head if _is_digits(head) else "", validity=rest)


def _pan(card: _Card) -> str | None:
    """The payment card number in what may be one."""
    # Track 3 of a financial card begins with a format code of two digits, 01 as a rule; where it comes alone, its
    # sentinel may be track 2's.
    coded = card.track == 3 or card.number.startswith("0")
    for each in (card.number, card.number[2:]) if coded else (card.number,):
        pan = each if _is_financial(each, card.validity) else first_pan(each)
        if pan is not None:
            return pan
    return None


def _is_financial(digits: str, validity: str) -> bool:
    """Whether this is a bank's or a travel card of an issuer that `pan` does not know."""
    return (
        len(digits) in _FINANCIAL_LENGTHS
        and _is_digits(digits)
        and digits[0] in _FINANCIAL_INDUSTRIES
        and luhn_holds(digits)
        and _VALIDITY.match(validity) is not None
    )


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
