"""GS1's application identifiers: which there are, the form of each one's value, and its part in a Digital Link.

Owns the table, and the reading of its notation. Never cuts a message.

Facts of the GS1 General Specifications (section 3 and figure 7.8.5-2), of the GS1 Barcode Syntax Dictionary, and
of GS1 Digital Link: URI Syntax, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from loyalty.check_digit import has_valid_check_digit, has_valid_check_pair

ValueProblem = Literal["check_digit_wrong", "date_wrong", "gs1_value_wrong"]

_MEASURES = " ".join(
    f"{measure}{decimals}"
    for first, last in ((310, 316), (320, 337), (340, 357), (360, 369))
    for measure in range(first, last + 1)
    for decimals in range(6)
)
# The form of a value, and the identifiers that have it. A value is made of components: a character set (n digits,
# x GS1's 82 characters, y its 39, z base64 for file names) and a length, exact or after `..` at most; in brackets
# it may be absent. After a colon stands what the component must also be, one of `_TESTS`.
_FORMS: tuple[tuple[str, str], ...] = (
    ("n18:check", "00 8017 8018"),
    ("n14:check", "01 02 03"),
    ("n6:date", "11 12 13 15 16 17"),
    ("n2", "20"),
    ("n6", _MEASURES + " 3950 3951 3952 3953 3954 3955 8005"),
    ("n13:check", "410 411 412 413 414 415 416 417"),
    ("x..20", "10 21 22 243 254 420 4318 7020 7021 7022 710 711 712 713 714 715 716 717 7240 8002 8012"),
    ("x..28", "235"),
    ("x..30", "240 241 250 251 400 403 4308 4319 7002 90"),
    ("x..30:company", "401 7023 8004"),
    ("x..90", "91 92 93 94 95 96 97 98 99"),
    ("x..70", "8110 8112 8200"),
    ("x..50", "8009"),
    ("x..25", "7242 8020"),
    ("x..25:pair", "8013 8014"),
    ("x..12", "7005"),
    ("x..10", "7009 7255"),
    ("x..4", "7041"),
    ("x..3", "427 7008"),
    ("x..2", "7010"),
    ("x..34:iban", "8007"),
    ("x..35:percent", "4300 4301 4310 4311 4320"),
    ("x..70:percent", "4302 4303 4304 4305 4306 4312 4313 4314 4315 4316 7257"),
    ("x..40:percent", "7253 7254 7259"),
    ("x..90:percent", "7256"),
    ("x2:country", "4307 4317"),
    ("x3:sequence", "7258"),
    ("x2 x..28", "7230 7231 7232 7233 7234 7235 7236 7237 7238 7239"),
    ("y..30:company", "8010"),
    ("z..90", "8030"),
    ("n..8", "30 37"),
    ("n..6", "242"),
    ("n..4", "7004"),
    ("n..10", "8019"),
    ("n..12:unpadded", "8011"),
    ("n..15", "3900 3901 3902 3903 3904 3905 3906 3907 3908 3909 3920 3921 3922 3923 3924 3925 3926 3927 3928 3929"),
    ("n3 n..15", "3910 3911 3912 3913 3914 3915 3916 3917 3918 3919 3930 3931 3932 3933 3934 3935 3936 3937 3938 3939"),
    ("n4", "3940 3941 3942 3943 8111"),
    ("n17:check", "402"),
    ("n13:check [x..17]", "253"),
    ("n13:check [n..12]", "255"),
    ("n1:zero n13:check [x..16]", "8003"),
    ("n14:check n4:piece", "8006 8026"),
    ("n3 x..9", "421"),
    ("n3", "422 424 426"),
    ("n3 [n3] [n3] [n3] [n3]", "423 425"),
    ("n3 x..27", "7030 7031 7032 7033 7034 7035 7036 7037 7038 7039"),
    ("n10:latitude n10:longitude", "4309"),
    ("n1:flag", "4321 4322 4323"),
    ("n6:date n4:slot", "4324 4325"),
    ("n6:day", "4326 7006"),
    ("n6:day n4:time", "7003"),
    ("n6:day [n6:day]", "7007"),
    ("n6:day [n4:time]", "7011"),
    ("n6:day n2:hour [n2:minute] [n2:minute]", "8008"),
    ("n8:birthday", "7250"),
    ("n8:birthday n4:time", "7251"),
    ("n6 [x1:minus]", "4330 4331 4332 4333"),
    ("n13", "7001"),
    ("n1 x1 x1 x1:word", "7040"),
    ("n2:medium", "7241"),
    ("n1:sex", "7252"),
    ("n4:nonzero n5:nonzero n3:nonzero n1:winding n1", "8001"),
    ("n15", "8040 8041"),
    ("n32", "8042"),
    ("n18 [n..2]", "8043"),
)

FORM_OF: Mapping[str, str] = {ai: form for form, ais in _FORMS for ai in ais.split()}
"""The form of each identifier's value; `form` reads it."""

AI_LENGTHS: Mapping[str, int] = {ai[:2]: len(ai) for ai in FORM_OF}
"""How long an identifier is, by its first two digits."""

PREDEFINED_LENGTHS: Mapping[str, int] = {
    "00": 20, "01": 16, "02": 16, "03": 16, "04": 18,
    "11": 8, "12": 8, "13": 8, "14": 8, "15": 8, "16": 8, "17": 8, "18": 8, "19": 8, "20": 4,
    "31": 10, "32": 10, "33": 10, "34": 10, "35": 10, "36": 10, "41": 16,
}  # fmt: skip
"""By its first two digits, how long an element string is that no separator has to end."""

PRIMARY_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "00": (),
    "01": (("22", "10", "21"), ("235",)),
    "253": (),
    "255": (),
    "401": (),
    "402": (),
    "414": (("254",), ("7040",)),
    "415": (("8020",),),
    "417": (("7040",),),
    "8003": (),
    "8004": (("7040",),),
    "8006": (("22", "10", "21"),),
    "8010": (("8011",),),
    "8013": (),
    "8017": (("8019",),),
    "8018": (("8019",),),
}
"""What a Digital Link may be about, and the qualifiers that may follow in its path: in this order, of one choice."""

NOT_IN_QUERY = frozenset({"03", "21", "22", "235", "254", "7040", "8011", "8014", "8019", "8020", "8200"})
"""Identifiers that a Digital Link may not carry behind its question mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a value is made. `exact` and `loose` match it whole, with one group for each component.

    `loose` lets any printable character stand where one of GS1's 82 should. `tests` belong to the components.
    """

    exact: re.Pattern[str]
    loose: re.Pattern[str]
    longest: int
    tests: tuple[str, ...]

    def problem(self, values: tuple[str | None, ...]) -> ValueProblem | None:
        """What is wrong with these components, first fault only."""
        for test, value in zip(self.tests, values, strict=True):
            if test and value:
                problem, holds = _TESTS[test]
                if not holds(value):
                    return problem
        return None


_COMPONENT = re.compile(r"(\[?)([nxyz])(\.\.)?(\d+)(?::(\w+))?\]?")
_SETS = {"n": "[0-9]", "x": '[!-"%-?A-Z_a-z]', "y": "[#\\-/0-9A-Z]", "z": "[\\-0-9=A-Z_a-z]"}
_PRINTABLE = "[^\\x1d]"


def _checked_digits(written: str) -> int:
    """How many digits a value of this form begins with, the last of which is their check digit; 0 if it is not so."""
    count = 0
    for _bracket, _characters, _up_to, length, test in _COMPONENT.findall(written):
        count += int(length)
        if test == "check":
            return count
    return 0


CHECKED_DIGITS: Mapping[str, int] = {
    ai: count for ai, written in FORM_OF.items() if (count := _checked_digits(written))
}
"""Of identifiers whose value begins with a number that GS1's members issue: how many digits that has."""


@cache
def form(written: str) -> Form:
    """The form that a value of `FORM_OF` describes."""
    exact, loose, tests, longest = "", "", [], 0
    for bracket, characters, up_to, length, test in _COMPONENT.findall(written):
        times = f"{{1,{length}}}" if up_to else f"{{{length}}}"
        absent = "?" if bracket else ""
        exact += f"({_SETS[characters]}{times}){absent}"
        loose += f"({_PRINTABLE if characters == 'x' else _SETS[characters]}{times}){absent}"
        tests.append(test)
        longest += int(length)
    return Form(exact=re.compile(exact), loose=re.compile(loose), longest=longest, tests=tuple(tests))


def _is_day(yymmdd: str) -> bool:
    """Whether this is a date. Of a year in two digits 00 is 2000, less than 50 years from now (section 7.12)."""
    year, month, day = int(yymmdd[:-4]), int(yymmdd[-4:-2]), int(yymmdd[-2:])
    february = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 1 <= month <= 12 and 1 <= day <= (31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _is_date(yymmdd: str) -> bool:
    """Whether this is a date, or a month without a day."""
    return _is_day(yymmdd[:4] + "01" if yymmdd[4:] == "00" else yymmdd)


def _is_iban(text: str) -> bool:
    """ISO 13616-1: country and check digits moved to the end, letters as 10 to 35, remainder 1 modulo 97."""
    if re.fullmatch("[A-Z]{2}[0-9]{2}[0-9A-Z]{7,}", text) is None:
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


_TESTS: Mapping[str, tuple[ValueProblem, Callable[[str], bool]]] = {
    "check": ("check_digit_wrong", has_valid_check_digit),
    "pair": ("check_digit_wrong", has_valid_check_pair),
    "iban": ("check_digit_wrong", _is_iban),
    "date": ("date_wrong", _is_date),
    "day": ("date_wrong", _is_day),
    "birthday": ("date_wrong", _is_day),
    "hour": ("date_wrong", _matches("[01][0-9]|2[0-3]")),
    "minute": ("date_wrong", _matches("[0-5][0-9]")),
    "time": ("date_wrong", _matches("([01][0-9]|2[0-3])[0-5][0-9]")),
    "slot": ("date_wrong", _matches("([01][0-9]|2[0-3])[0-5][0-9]|9999")),  # 9999: any time of that day
    "company": ("gs1_value_wrong", _matches("[0-9]{4}.*")),  # the shortest company prefix
    "percent": ("gs1_value_wrong", _matches("([^%]|%[0-9A-Fa-f]{2})*")),
    "country": ("gs1_value_wrong", _matches("[A-Z]{2}")),
    "sequence": ("gs1_value_wrong", lambda value: _matches("[1-9]/[1-9]")(value) and value[0] <= value[2]),
    "unpadded": ("gs1_value_wrong", _matches("0|[1-9][0-9]*")),
    "zero": ("gs1_value_wrong", _matches("0")),
    "nonzero": ("gs1_value_wrong", _matches("0*[1-9][0-9]*")),
    "piece": ("gs1_value_wrong", lambda value: "00" < value[:2] <= value[2:]),
    "latitude": ("gs1_value_wrong", lambda value: value <= "1800000000"),
    "longitude": ("gs1_value_wrong", lambda value: value <= "3600000000"),
    "flag": ("gs1_value_wrong", _matches("[01]")),
    "minus": ("gs1_value_wrong", _matches("-")),
    "word": ("gs1_value_wrong", _matches("[-0-9A-Z_a-z]")),
    "medium": ("gs1_value_wrong", _matches("0[1-9]|10|[89][0-9]")),
    "sex": ("gs1_value_wrong", _matches("[0129]")),
    "winding": ("gs1_value_wrong", _matches("[019]")),
}
