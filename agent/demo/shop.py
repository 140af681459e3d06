"""The sample shop of the demonstration: its name, its program, its rules and its thousand members.

Owns invented data only, the same on every machine. Never starts or sends anything.
"""

from __future__ import annotations

import random

import msgspec
from msgspec import Struct

BRAND = "Kod Savete"
STORE = "12"
CURRENCY = "RSD"
TIME_ZONE = "Europe/Belgrade"
MEMBER_COUNT = 1000

COFFEE_CATEGORY = "coffee"

# What points buy.
REWARD = "popust-500"
REWARD_POINTS = 80
REWARD_MINOR = 50_000

# A card that no member has yet.
NEW_CARD = "TS99000001X"
CARD_PREFIX = "TS"
_CHECK_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # 23, a prime; none that is taken for a digit
_FIRST_CARD = 10_000_019
_CARD_STEP = 7_919  # a prime, so that neighbours differ in several digits

_WOMEN = (
    "Ana Anđela Biljana Bojana Branka Daliborka Danica Dragana Dunja Đurđa Gordana Iva Ivana Jasmina Jelena Jovana "
    "Katarina Ljiljana Maja Marija Marina Milena Milica Mirjana Nada Nataša Nevena Olivera Radmila Sanja Slavica "
    "Snežana Sofija Sonja Svetlana Tamara Tanja Teodora Vesna Višnja Zorica Žaklina Živka"
)
_MEN = (
    "Aleksandar Bogdan Bojan Boško Branislav Čedomir Dejan Dragan Dušan Đorđe Filip Goran Igor Ilija Ivan Jovan Lazar "
    "Luka Marko Milan Miloš Miodrag Mirko Nebojša Nemanja Nenad Nikola Ognjen Petar Predrag Radovan Saša Slobodan "
    "Srđan Stefan Strahinja Uroš Vladimir Vuk Zoran Željko Živojin"
)
_INITIALS = "AABBBCĆDDĐGIIJJJKKLLMMMNNOPPPRRSSSŠTTUVVZŽ"
_TIERS = ("gold",) * 5 + ("silver",) * 15 + (None,) * 80
_LANGUAGES = ("sr",) * 18 + ("hu", "en")


class SampleMember(Struct, frozen=True, kw_only=True):
    """A member of the sample shop; `card` is what the barcode on the card says."""

    member: str
    card: str
    short_name: str
    tier: str | None
    language: str


def sample_program() -> bytes:
    """The shop's program: what its terms call bronze, kept points, the big basket, the coffee card and a reward."""
    program = {
        "program": "kod-savete",
        "currency": CURRENCY,
        "time_zone": TIME_ZONE,
        "tiers": [
            {
                "id": "bronze",
                "from": {"spend_in": "P12M", "at_least": 800_000},
                "grace": "P3M",
                "multiplier": [11, 10],
            },
            {"id": "silver", "multiplier": [5, 4]},
            {"id": "gold", "multiplier": [3, 2]},
        ],
        "earn": [
            {"id": "base", "priority": 10, "give": {"points": 1, "per_minor": 10_000}},
            {"id": "kept", "priority": 20, "give": {"points": 1, "per_minor": 50_000}, "pending": "P14D"},
            {"id": "basket", "priority": 30, "give": {"brackets": [[200_000, 10], [400_000, 30]]}},
        ],
        "stamps": [
            {"id": "coffee", "every": 3, "when": {"category_in": [COFFEE_CATEGORY]}, "give": {"points": 50}},
        ],
        "rewards": [
            {
                "id": REWARD,
                "title": "500 RSD popusta",
                "cost": REWARD_POINTS,
                "discount_minor": REWARD_MINOR,
                "offline": "allowance",
            },
        ],
        "returns": {"policy": "reverse"},
    }
    return msgspec.json.format(msgspec.json.encode(program), indent=2) + b"\n"


def sample_items() -> bytes:
    """What the goods are: the one entry that the coffee card needs."""
    return f'[[items]]\nname = ["kafa *"]\ncategory = "{COFFEE_CATEGORY}"\n'.encode()


def sample_rules() -> bytes:
    """What the shop's cards are: the one identification rule that its centre tells every register."""
    length = len(card_code(_FIRST_CARD))
    return f'[[identification]]\nname = "{BRAND} card"\nprefixes = ["{CARD_PREFIX}"]\nlengths = [{length}]\n'.encode()


def sample_members(count: int = MEMBER_COUNT) -> tuple[SampleMember, ...]:
    """The first `count` members, always the same."""
    chance = random.Random("kod savete")
    names = (_WOMEN.split(), _MEN.split())
    return tuple(
        SampleMember(
            member=f"m{number:05d}",
            card=card_code(_FIRST_CARD + number * _CARD_STEP),
            short_name=f"{chance.choice(chance.choice(names))} {chance.choice(_INITIALS)}.",
            tier=chance.choice(_TIERS),
            language=chance.choice(_LANGUAGES),
        )
        for number in range(1, count + 1)
    )


def card_code(number: int) -> str:
    """A card's code: prefix, eight digits and a check letter."""
    return f"{CARD_PREFIX}{number:08d}{_CHECK_LETTERS[number % len(_CHECK_LETTERS)]}"


def members_file(members: tuple[SampleMember, ...]) -> bytes:
    """`members` as `tillside-central members import` reads them."""
    rows = [
        {
            "member": member.member,
            "short_name": member.short_name,
            "language": member.language,
            "identifiers": [{"kind": "card", "code": member.card}],
        }
        | ({"tier": member.tier} if member.tier else {})
        for member in members
    ]
    return msgspec.json.encode({"members": rows})
