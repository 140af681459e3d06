"""The texts by which a chain asks people whether it may write to them, and which version they are.

Owns their form. What somebody agreed to is kept with the version that they were shown, so another text is another
version. Never says who agreed.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

# Of one question, read at a till or on a telephone.
MAX_TEXT_CHARS: Final = 500
MAX_CHANNELS: Final = 16
MAX_LANGUAGES: Final = 32

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
Language = Annotated[str, Meta(pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=16)]
Channel = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]
Version = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,31}$")]


class AskedText(Struct, frozen=True, kw_only=True):
    """What somebody is asked, and the version that is kept with their answer; the language is part of it."""

    text: str
    version: str


class ConsentTexts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of one version, by channel (`sms`, `email` …) and language."""

    version: Version
    texts: Annotated[
        dict[Channel, Annotated[dict[Language, Text], Meta(min_length=1, max_length=MAX_LANGUAGES)]],
        Meta(min_length=1, max_length=MAX_CHANNELS),
    ]

    def asked(self, channel: str, language: str) -> AskedText | None:
        """The text of a channel in a language; None where there is none."""
        text = self.texts.get(channel, {}).get(language)
        return AskedText(text=text, version=f"{self.version}-{language}") if text is not None else None


def consent_texts_from(values: object) -> ConsentTexts:
    """Checked texts from what a JSON or TOML parser gives. Raises msgspec.ValidationError with the path."""
    return msgspec.convert(values, ConsentTexts)
