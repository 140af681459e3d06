"""The words of the join page, in the languages of the registers' pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

LANGUAGES: Final = {
    "en": "English",
    "sr": "Srpski",
    "sr-Cyrl": "Српски",
    "hr": "Hrvatski",
    "sl": "Slovenščina",
    "de": "Deutsch",
}
_FOLDER = Path(__file__).parent
# Languages that are read where one of ours is understood.
_UNDERSTOOD: Final = {"bs": "hr", "sh": "sr", "cnr": "sr", "me": "sr"}
# A browser names a few.
_MAX_NAMED: Final = 16


@cache
def words_of(language: str) -> Mapping[str, str]:
    """The texts of a language of LANGUAGES, by name."""
    texts: dict[str, str] = json.loads((_FOLDER / f"words-{language}.json").read_text(encoding="utf-8"))
    return texts


def language_of(chosen: str, accepted: str) -> str:
    """The language that was `chosen`, else the first that a browser's `Accept-Language` prefers, else English."""
    if chosen in LANGUAGES:
        return chosen
    preferred = sorted(accepted.split(",")[:_MAX_NAMED], key=_weight, reverse=True)
    found = (_closest(one.partition(";")[0].strip()) for one in preferred)
    return next((language for language in found if language is not None), "en")


def _weight(named: str) -> float:
    try:
        return float(named.partition("q=")[2].strip() or 1)
    except ValueError:
        return 0.0


def _closest(tag: str) -> str | None:
    parts = tag.lower().split("-")
    if parts[0] == "sr" and "cyrl" in parts:
        return "sr-Cyrl"
    language = _UNDERSTOOD.get(parts[0], parts[0])
    return language if language in LANGUAGES else None
