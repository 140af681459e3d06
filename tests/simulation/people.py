"""Who shops in a simulated chain: members from of old, who joined at a till, what they told there, and who was erased.

Owns the truth about that, as tills said that they keep it; how it travels is the product's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from agent.profiles import EditRequest, GivenCode, GivenConsent, JoinRequest
from sync.records import ConsentState
from tests.simulation.register import SimulatedRegister

MEMBERS: Final = 120
# How many regulars a register has.
REGULARS: Final = 3
# How many of those who come joined at a till, where somebody did.
_JOINED: Final = 0.2
_CHANNEL: Final = "sms"
# Who have a voucher of their own.
WITH_VOUCHERS: Final = tuple(f"m{n}" for n in range(0, MEMBERS, 6))


@dataclass(slots=True)
class Told:
    """What was told of one field, in order; `maybe` is what no till said that it keeps."""

    values: list[str] = field(default_factory=list)
    maybe: list[str] = field(default_factory=list)


class People:
    """Members have names of the simulation's: `m5` is the centre's id as well, `j5` joined at a till.

    `codes` are the numbers that a till said name somebody, `told` their notes and consents, `vouchers` the ids of
    those that were issued for one of them. `erased` are by which ids the centre knew who was.
    """

    def __init__(self) -> None:
        self.tiers: dict[str, str | None] = {f"m{n}": "gold" if n % 5 == 0 else None for n in range(MEMBERS)}
        self.codes: dict[str, list[str]] = {member: [card_of(member)] for member in self.tiers}
        self.told: dict[tuple[str, str], Told] = {}
        self.erased: dict[str, tuple[str, ...]] = {}
        self.vouchers: dict[str, str] = {}
        self._numbers = 0

    def comes(self, number: int, chance: Random, *, regular: bool) -> str:
        """Who comes to a register: one of its few regulars, or anybody who was not erased."""
        joined = [name for name in self.codes if name.startswith("j")]
        if regular:
            name = f"m{(number * REGULARS + chance.randrange(REGULARS)) % MEMBERS}"
        elif joined and chance.random() < _JOINED:
            name = chance.choice(joined)
        else:
            name = f"m{chance.randrange(MEMBERS)}"
        while name in self.erased:
            name = f"m{chance.randrange(MEMBERS)}"
        return name

    async def join(self, register: SimulatedRegister) -> str | None:
        """Somebody joins, and may shop at once. Their name, None where the till did not say that it knows them."""
        self._numbers += 1
        name = f"j{self._numbers}"
        if not await self._joined(register, name, self._numbers, card_of(name)):
            return None
        self.tiers[name], self.codes[name] = None, [card_of(name)]
        self.told[name, _CHANNEL] = Told(values=["granted"])
        return name

    async def join_again(self, register: SimulatedRegister, name: str, *, phone: bool) -> str | None:
        """They join once more where nobody knows them, with the same telephone or another: by which card, if at all."""
        self._numbers += 1
        code = f"TA{self._numbers:06}"
        if not await self._joined(register, name, int(name[1:]) if phone else self._numbers, code):
            return None
        self.codes[name].append(code)
        self.told[name, _CHANNEL].values.append("granted")
        return code

    @staticmethod
    async def _joined(register: SimulatedRegister, name: str, phone: int, code: str) -> bool:
        request = JoinRequest(
            short_name=f"Name {name}",
            phone=f"+38591{phone:06}",
            code=GivenCode(code=code),
            consents=(GivenConsent(channel=_CHANNEL, state="granted", text_version="1"),),
        )
        return await register.join(request) is not None

    async def tell(self, register: SimulatedRegister, name: str, shown: str, chance: Random) -> None:
        """Whoever is on the page, by the code that is `shown`, tells something of themselves."""
        self._numbers += 1
        match chance.choice(("note", _CHANNEL, "code")):
            case "note":
                value = f"note {self._numbers}"
                await self._told(register, shown, (name, "note"), value, EditRequest(note=value))
            case "code":
                value = f"TA{self._numbers:06}"
                if await register.edit(shown, EditRequest(code=GivenCode(code=value))):
                    self.codes[name].append(value)
            case _:
                await self.consent(register, name, shown, chance.choice(("granted", "withdrawn")))

    async def consent(self, register: SimulatedRegister, name: str, shown: str, state: ConsentState) -> None:
        """Whoever is on the page says whether they may be written to."""
        said = GivenConsent(channel=_CHANNEL, state=state, text_version="1")
        await self._told(register, shown, (name, _CHANNEL), state, EditRequest(consents=(said,)))

    async def _told(
        self, register: SimulatedRegister, shown: str, what: tuple[str, str], value: str, request: EditRequest
    ) -> None:
        told = self.told.setdefault(what, Told())
        if await register.edit(shown, request):
            told.values.append(value)
        else:
            told.maybe.append(value)


def card_of(name: str) -> str:
    return f"T{name[0].upper()}{int(name[1:]):06}"
