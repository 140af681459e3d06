"""Whatever a register says it took the centre can use: odd texts everywhere, and nothing is thrown out there."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from agent.inspection import NotFoundError
from agent.problem import MalformedBodyError
from agent.profiles import EditRequest, JoinRequest, Profiles
from agent.receipts import at_once
from agent.webhook import Webhook
from central.bodies import Fault, opened
from loyalty.receipt import MAX_ALSO, MAX_FOUND_BY_CHARS
from sync.records import Entry
from sync.store.reading import MAX_LISTED
from tests.agent.shop import OPTIONS, Shop, at
from tests.agent.test_webhook import sale

# One in so many texts is odd, else next to nothing would be taken.
ODD_OF: Final = 12
ODD: Final = (
    *("\0", "a\0b", "\\\0", "\\u0000", "\\", '"', " ", "", "\u202e", "č š", "ТС1", "😀", "\x1f"),
    *("x" * MAX_FOUND_BY_CHARS, "x" * (MAX_FOUND_BY_CHARS + 1), "x" * 500, "x" * 5000, "2026-13-45"),
)


def faults(shop: Shop) -> list[str]:
    """What the centre would say of what waits for it."""
    said = []
    for row in shop.store.queue(limit=MAX_LISTED):
        kept = shop.store.entry(row.number)
        assert kept is not None
        entry = Entry(
            seq=1, key=kept.key, kind=kept.kind, hlc="", wall=at(0).wall, salt="0" * 32, body=msgspec.Raw(kept.json)
        )
        found = opened(entry)
        if isinstance(found, Fault):
            said.append(f"{found.reason}: {found.detail}")
    return said


class Odd:
    """Gives texts, of which some are odd."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def text(self, usual: str) -> str:
        return self._chance.choice(ODD) if self._chance.randrange(ODD_OF) == 0 else usual

    def some(self, facts: dict[str, Any]) -> dict[str, Any]:
        return {name: fact for name, fact in facts.items() if self._chance.randrange(3)}

    def ids(self) -> list[str]:
        return [f"x:{number}" for number in range(self._chance.choice((0, 1, MAX_ALSO, MAX_ALSO + 4)))]

    def receipt(self, number: int) -> dict[str, Any]:
        line = {"position": 1, "amount_minor": 26828}
        names = self.some({name: self.text("a") for name in ("description", "gtin", "sku")})
        return sale(number) | self.some(
            {
                "number": self.text(f"N{number}"),
                "operator": self.text("7"),
                "store": self.text("12"),
                "also": self.ids(),
                "lines": [line | names],
                "original": {"number": self.text("1")},
                "member": {"code": self.text("TS1001"), "kind": "card", "entry": "typed"},
                "fiscal": {"scheme": "rs-purs", "number": self.text(f"F{number}")},
            }
        )

    def profile(self, number: int, more: dict[str, Any]) -> dict[str, Any]:
        consent = {"channel": "viber", "state": "withdrawn", "text_version": self.text("2026-11")}
        return self.some(
            {
                "short_name": self.text("Ana"),
                "phone": self.text(f"+38164{number:06}"),
                "language": self.text("sr"),
                "note": self.text("n"),
                "consents": [consent],
                "operator": self.text("7"),
                "code": {"code": self.text(f"TSJ{number}"), **self.some({"of": self.text("TS1001")})},
                **more,
            }
        )


async def test_whatever_receipt_is_taken_can_be_read_at_the_centre(shop: Shop) -> None:
    # given receipts with odd texts, posted one by one
    await shop.seed()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    odd, refused = Odd(random.Random(seed)), 0
    webhook = Webhook(
        books=shop.books("pos"), store=shop.store, options=lambda: OPTIONS, scans_taken=at_once, now=lambda: at(30)
    )
    # when some are taken, and others refused
    for number in range(120):
        try:
            await webhook.take(msgspec.json.encode(odd.receipt(number)), None)
        except MalformedBodyError:
            refused += 1
    # then the centre has none of them to throw out
    assert faults(shop) == []
    assert refused > 10
    assert len(shop.bodies()) > 20


async def test_whatever_is_told_of_members_can_be_read_at_the_centre(shop: Shop) -> None:
    await shop.seed()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    odd, profiles, refused = Odd(random.Random(seed)), Profiles(shop.store), 0
    for number in range(120):
        more = {
            "email": odd.text(f"a{number}@b.example"),
            "address": odd.text("S 1"),
            "birth_date": odd.text("2000-02-29"),
        }
        for kind, given in ((JoinRequest, odd.profile(number, more)), (EditRequest, odd.profile(number, {}))):
            try:
                request: Struct = msgspec.convert(given, type=kind)
                if isinstance(request, JoinRequest):
                    await profiles.join(request, None)
                elif isinstance(request, EditRequest):
                    await profiles.edit("TS1001", request, None)
            except (MalformedBodyError, NotFoundError, msgspec.ValidationError):
                refused += 1
    assert faults(shop) == []
    assert refused > 10
    assert shop.store.queued() > 50


@pytest.mark.parametrize(
    "told",
    [
        {"birth_date": "2026-13-45"},
        {"birth_date": "2026-02-29"},
        {"short_name": " "},
        {"short_name": "A\0"},
        {"note": "\0"},
        {"address": "\0"},
        {"operator": "\0"},
        {"consents": [{"channel": "viber", "state": "withdrawn", "text_version": "\0"}]},
    ],
)
async def test_what_the_centre_would_throw_out_is_refused(shop: Shop, told: dict[str, Any]) -> None:
    await shop.seed()
    with pytest.raises(MalformedBodyError):
        await Profiles(shop.store).join(msgspec.convert({"code": {"code": "TS900"}, **told}, type=JoinRequest), None)
    if told.keys() <= {"short_name", "note", "operator", "consents"}:
        with pytest.raises(MalformedBodyError):
            await Profiles(shop.store).edit("TS1001", msgspec.convert(told, type=EditRequest), None)
    assert shop.store.queued() == 0
