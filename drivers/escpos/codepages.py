"""Which letter a byte means on a given printer.

Owns code pages: what `ESC t n` selects on each printer (the capability profiles that python-escpos
carries), the letters of each page, and the national letters of `ESC R n`. Never frames or lays out.

The profiles are read as data; the escpos package itself is never imported (it takes half a second).
"""

from __future__ import annotations

import codecs
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

DEFAULT_PROFILE: Final = "default"
UNKNOWN_LETTER: Final = "\ufffd"

# Pages of more than one byte a letter.
_MULTIBYTE: Final = frozenset(
    ("utf-8", "cp932", "shift_jis", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "cp949", "euc_kr", "johab")
)
_SINGLE_BYTE: Final = re.compile(r"cp\d+|iso8859-\d+|koi8-[rut]|mac-\w+|tis-620|kz1048|ptcp154|hp-roman8")

# Names that printers' makers use for a page Python has under another.
_SAME_AS: Final = {"CP928": "iso8859-7", "RK1048": "kz1048"}

# Pages Python lacks, as differences from one it has. Lithuanian from the IBM tables, the Polish and Czech
# ones from their public descriptions (Mazovia; the brothers Kamenický).
_DERIVED: Final[Mapping[str, tuple[str, Mapping[int, str]]]] = {
    "CP772": ("cp866", {0xB5: "ĄČĘĖ", 0xBD: "ĮŠ", 0xC6: "ŲŪ", 0xCF: "Žąčęėįšųūž", 0xF2: "≥≤„“÷≈°∙·√ⁿ²■\xa0"}),
    "CP774": ("cp437", {0xB5: "ĄČĘĖ", 0xBD: "ĮŠ", 0xC6: "ŲŪ", 0xCF: "Žąčęėįšųūž", 0xE1: "ß", 0xF4: "„“"}),
    "CP3843": (
        "cp437",
        {
            0x86: "ą", 0x8D: "ć", 0x8F: "ĄĘęł", 0x95: "Ć", 0x98: "Ś", 0x9C: "Ł", 0x9E: "ś",
            0xA0: "ŹŻ", 0xA3: "ÓńŃźż",
        },
    ),
    "CP3844": (
        "cp437",
        {0x80: "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ", 0xAD: "§"},
    ),
}  # fmt: skip

# ESC R n puts national letters in place of these.
_REPLACED: Final = "#$@[\\]^`{|}~"
_NATIONAL: Final = {
    0: "#$@[\\]^`{|}~",  # USA
    1: "#$à°ç§^`éùè¨",  # France
    2: "#$§ÄÖÜ^`äöüß",  # Germany
    3: "£$@[\\]^`{|}~",  # United Kingdom
    4: "#$@ÆØÅ^`æøå~",  # Denmark I
    5: "#¤ÉÄÖÅÜéäöåü",  # Sweden
    6: "#$@°\\é^ùàòèì",  # Italy
    7: "₧$@¡Ñ¿^`¨ñ}~",  # Spain I
    8: "#$@[¥]^`{|}~",  # Japan
    9: "#¤ÉÆØÅÜéæøåü",  # Norway
    10: "#$ÉÆØÅÜéæøåü",  # Denmark II
    11: "#$á¡Ñ¿éíñóú~",  # Spain II
    12: "#$á¡Ñ¿éüíñóú",  # Latin America
    13: "#$@[₩]^`{|}~",  # Korea
    14: "#$ŽŠĐĆČžšđćč",  # Slovenia, Croatia, Serbia in Latin letters
    15: "#¥@[\\]^`{|}~",  # China
    16: "#₫@[\\]^`{|}~",  # Vietnam
    17: "#$@[\\]^`{|}~",  # Arabia
}


class CodePageError(ValueError):
    """A printer profile or a code page is not known. The message lists what is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """One page. `letters` maps the 256 single bytes; a page of several bytes a letter names its `codec`."""

    name: str
    letters: str
    codec: str | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether it has no letters beyond ASCII: nobody knows what they are."""
        return self.codec is None and not self.letters[128:].strip(UNKNOWN_LETTER)

    def decode(self, data: bytes) -> str:
        """`data` in Unicode; a byte without a letter becomes U+FFFD."""
        if self.codec is None:
            return codecs.charmap_decode(data, "replace", self.letters)[0]
        try:
            return data.decode(self.codec)
        except UnicodeDecodeError:
            # Half-width katakana alone is no valid text of the page it lives in.
            return (
                codecs.charmap_decode(data, "replace", self.letters)[0]
                if self.letters
                else data.decode(self.codec, "replace")
            )


@cache
def _capabilities() -> Mapping[str, Any]:
    spec = importlib.util.find_spec("escpos")
    if spec is None or spec.origin is None:
        raise CodePageError("the printer profiles are missing: install the package python-escpos")
    with (Path(spec.origin).parent / "capabilities.json").open("rb") as file:
        return MappingProxyType(json.load(file))


def profile_names() -> tuple[str, ...]:
    """Every printer profile, such as `TM-T88V`."""
    return tuple(sorted(_capabilities()["profiles"], key=str.casefold))


@cache
def profile_pages(profile: str) -> Mapping[int, str]:
    """What `ESC t n` selects on a printer: n → the name of the page. Raises CodePageError."""
    for name, capabilities in _capabilities()["profiles"].items():
        if name.casefold() == profile.casefold():
            pages: dict[str, str] = capabilities["codePages"]
            return MappingProxyType({int(number): page for number, page in pages.items()})
    raise CodePageError(f"no printer profile {profile!r}; known are: {', '.join(profile_names())}")


@cache
def selected_page(profile: str, number: int) -> CodePage:
    """The page `ESC t number` selects; where the profile does not know it, ASCII and U+FFFD."""
    name = profile_pages(profile).get(number, "Unknown")
    try:
        return code_page(name)
    except CodePageError:
        return CodePage(name=name, letters=_ascii_and(""))


@cache
def code_page(name: str) -> CodePage:
    """A page by the name profiles use (`CP852`, `KATAKANA`) or Python does (`windows-1250`, `utf-8`).

    Raises CodePageError.
    """
    wanted = name.strip().upper()
    encodings: dict[str, dict[str, Any]] = _capabilities()["encodings"]
    known = next((entry for key, entry in encodings.items() if key.upper() == wanted), {})
    if "data" in known:
        return CodePage(name=wanted, letters=_ascii_and("".join(known["data"])))
    if wanted in _DERIVED:
        base, differences = _DERIVED[wanted]
        return CodePage(name=wanted, letters=_changed(_letters_of(base), differences))
    codec = _SAME_AS.get(wanted) or known.get("python_encode") or wanted
    try:
        codec = codecs.lookup(codec).name
    except LookupError:
        codec = ""
    if codec in _MULTIBYTE:
        letters = code_page("KATAKANA").letters if codec == "cp932" else ""
        return CodePage(name=wanted, letters=letters, codec=codec)
    if codec and _SINGLE_BYTE.fullmatch(codec):
        return CodePage(name=wanted, letters=_letters_of(codec))
    raise CodePageError(f"no code page {name!r}; known are: {', '.join(code_page_names())}")


def code_page_names() -> tuple[str, ...]:
    """The pages that profiles name and we can read, and UTF-8."""
    encodings: dict[str, dict[str, Any]] = _capabilities()["encodings"]
    readable = {key for key, entry in encodings.items() if "data" in entry or "python_encode" in entry}
    return tuple(sorted(readable | _SAME_AS.keys() | _DERIVED.keys() | {"UTF-8"}))


@cache
def national_letters(country: int) -> Mapping[int, str]:
    """What `ESC R country`, a byte, prints in place of ASCII's own, for `str.translate`."""
    letters = _NATIONAL.get(country, _REPLACED)
    return MappingProxyType({ord(old): new for old, new in zip(_REPLACED, letters, strict=True) if old != new})


def _ascii_and(upper: str) -> str:
    ascii_half = "".join(map(chr, range(128)))
    return ascii_half + upper.ljust(128, UNKNOWN_LETTER)[:128]


def _letters_of(codec: str) -> str:
    return "".join(bytes((byte,)).decode(codec, "replace") for byte in range(256))


def _changed(letters: str, differences: Mapping[int, str]) -> str:
    for start, run in differences.items():
        letters = letters[:start] + run + letters[start + len(run) :]
    return letters
