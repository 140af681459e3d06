"""What somebody wrote into the form of the join page.

Owns reading it, and saying by the name of a text (`words-*.json`) what is wrong with it. Never looks anything up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from msgspec import Struct

from central.invited import Told
from loyalty.addresses import email_address, phone_number
from loyalty.consent_texts import AskedText, ConsentTexts
from loyalty.identification import normal_code
from loyalty.join_codes import is_join_code
from loyalty.pan import first_pan

# The version of the texts `consent_…`, of which each language has its own, where the chain has published none. Another
# text is another version.
CONSENT_TEXT: Final = "join-page-2026-11"
# A channel that people may be written to on, and the field with the address that it takes.
CHANNELS: Final = {"sms": "phone", "email": "email"}
MAX_NAME_CHARS: Final = 80
MAX_FIELD_CHARS: Final = 200
_MAX_FIELDS: Final = 16


class Form(Struct, frozen=True, kw_only=True):
    """The fields as they were written; `agreed` are channels, and `texts` the version by which they were asked."""

    code: str = ""
    short_name: str = ""
    phone: str = ""
    email: str = ""
    agreed: frozenset[str] = frozenset()
    texts: str = ""

    @property
    def problem(self) -> tuple[str, str] | None:
        """The first field that is wrong, and the text that says why; None where all are right."""
        if not is_join_code(normal_code(self.code)):
            return "code", "problem_code"
        if len(self.short_name) > MAX_NAME_CHARS or first_pan(self.short_name) is not None:
            return "short_name", "problem_name"
        if not self.phone and not self.email:
            missing = next((channel for channel in CHANNELS if channel in self.agreed), "")
            return CHANNELS.get(missing, "phone"), "problem_address"
        if self.phone and not _is_phone(self.phone):
            return "phone", "problem_phone"
        if self.email and (email_address(self.email) is None or first_pan(self.email) is not None):
            return "email", "problem_email"
        for channel, field in CHANNELS.items():
            if channel in self.agreed and not getattr(self, field):
                return field, f"problem_no_{field}"
        return None

    def told(self, language: str, asked: Mapping[str, AskedText]) -> Told:
        """What is told by it, where it has no problem, by who read the page in `language` and was `asked` so."""
        return Told(
            code=normal_code(self.code),
            language=language,
            short_name=self.short_name,
            phone=self.phone,
            email=self.email,
            consents={channel: asked[channel].version for channel in self.agreed},
        )


def asked_in(texts: ConsentTexts | None, language: str, words: Mapping[str, str], brand: str) -> dict[str, AskedText]:
    """By which text people are asked on a channel: the chain's own where it has one in the language, or the page's."""
    asked = {}
    for channel in CHANNELS:
        own = texts.asked(channel, language) if texts is not None else None
        pages = AskedText(text=words[f"consent_{channel}"].format(brand=brand), version=f"{CONSENT_TEXT}-{language}")
        asked[channel] = own or pages
    return asked


def form_from(body: bytes) -> tuple[Form, str] | None:
    """The form, and the language that the page was read in, as it says; None where this is no form of ours."""
    try:
        fields = parse_qs(body.decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    first = {name: values[0].strip() for name, values in fields.items()}
    if any(len(text) > MAX_FIELD_CHARS for text in first.values()):
        return None
    written = {name: first.get(name, "") for name in ("code", "short_name", "phone", "email")}
    agreed = frozenset(channel for channel in CHANNELS if first.get(f"consent_{channel}") == "granted")
    return Form(agreed=agreed, texts=first.get("texts", ""), **written), first.get("language", "")


def _is_phone(written: str) -> bool:
    """A telephone number, and no payment card's, which one that names its country may look like now and then."""
    number = phone_number(written)
    return number is not None and (number.startswith("+") or first_pan(number) is None)
