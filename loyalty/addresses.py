"""Telephone numbers and e-mail addresses as codes that name a member, without telling the number or address.

Owns the one form in which an address is compared, and the code made of it: a digest under a key that a centre and its
registers share. Whoever has no key cannot find out from a code whose it is by trying all numbers; a register, which
must be able to, could. Never keeps an address.
"""

from __future__ import annotations

import hmac
import re

from loyalty.identification import MemberKind, normal_code

# What people see of a telephone number, at the end of its code.
SHOWN_DIGITS = 4
# ITU-T E.164 has 15 digits at most; a shop's own short numbers have more than three.
MIN_DIGITS, MAX_DIGITS = 5, 15

_DIGEST_CHARS = 32
_WRITTEN_PHONE = re.compile(r"\+?[0-9 ()/.\u2010-\u2015\u2212-]+")
_WRITTEN_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_CODE_OF: dict[MemberKind, re.Pattern[str]] = {
    "phone": re.compile(r"TEL:[0-9A-F]{32}:[0-9]{4}"),
    "email": re.compile(r"EML:[0-9A-F]{32}"),
}


def phone_number(written: str) -> str | None:
    """A telephone number as it is compared: digits, after a `+` where it names its country; None where it is none.

    `00` at the beginning is `+`. A number without a country is another one than the same with it.
    """
    text = written.strip()
    if _WRITTEN_PHONE.fullmatch(text) is None:
        return None
    digits = re.sub(r"[^0-9]", "", text)
    if text.startswith("00"):
        digits, text = digits[2:], "+"
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return None
    return f"+{digits}" if text.startswith("+") else digits


def email_address(written: str) -> str | None:
    """An e-mail address as it is compared; None where it is none."""
    text = written.strip().lower()
    return text if _WRITTEN_EMAIL.fullmatch(text) else None


def address_code(kind: MemberKind, written: str, key: str) -> str | None:
    """The code of a telephone number or e-mail address; None for other kinds, and for what is no address.

    `TEL:` + digest + `:` + its last digits, `EML:` + digest, in normal form. A code stays what it is.
    """
    if kind not in _CODE_OF:
        return None
    code = normal_code(written)
    if _CODE_OF[kind].fullmatch(code):
        return code
    if kind == "phone":
        number = phone_number(written)
        return None if number is None else f"TEL:{_digest(key, kind, number)}:{number[-SHOWN_DIGITS:]}"
    address = email_address(written)
    return None if address is None else f"EML:{_digest(key, kind, address)}"


def codes_as_typed(text: str, key: str) -> tuple[str, ...]:
    """The codes that a text may name which a person typed: as it is, and as an address."""
    found = (address_code(kind, text, key) for kind in _CODE_OF)
    return (normal_code(text), *(code for code in found if code is not None and code != normal_code(text)))


def hidden_code(code: str, key: str) -> str:
    """What is kept of a code whose member was erased, 64 hexadecimal digits: enough to know it again."""
    return hmac.digest(bytes.fromhex(key), b"erased\0" + normal_code(code).encode(), "sha256").hex()


def ends_like_phone(code: str) -> str:
    """The digits to show of a telephone number's code; empty for any other."""
    return code[-SHOWN_DIGITS:] if _CODE_OF["phone"].fullmatch(code) else ""


def _digest(key: str, kind: MemberKind, address: str) -> str:
    digest = hmac.digest(bytes.fromhex(key), f"{kind}\0{address}".encode(), "sha256")
    return digest.hex().upper()[:_DIGEST_CHARS]
