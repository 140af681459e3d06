"""What this register asked for by members' telephones, and what it was granted so.

Owns that a grant counts once, and only here: it is taken for an ask that this database remembers, in the epoch of the
ask, and the ask goes with it. So neither a copy of the disk that was made before the ask nor an older copy of the
database can take it: of the first nobody asked, and the second counts less than its witness, since taking one counts.
An allowance that was known before, by whatever way it came, is left as it is. Of an ask nothing is kept but its nonce,
and which card it named, where this register did not know whose that is: a grant that tells of somebody is taken for an
ask of that very card alone. Never says whose points a grant is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from loyalty.member import Member
from sync.phone_codes import Grant, Part
from sync.store.reading import Reading

# Asks that wait for their grant: more than a register makes in the outage of a day. The oldest are forgotten first.
MAX_ASKS: Final = 64
_ASKS: Final = "phone-asks"
# Until the centre tells of it, an allowance has no number.
UNNUMBERED: Final = 0

Taken = Literal["taken", "known", "not_asked", "unsure"]
"""What came of a grant: its points can be spent now; they are here already; this register did not ask for it, or does
not remember; it spends nothing before the centre has answered."""


class AskedRows(Reading):
    """The part of `Writing` that asks by telephone."""

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        raise NotImplementedError

    def set_meta(self, name: str, value: str) -> None:
        raise NotImplementedError

    def is_sure(self) -> bool:
        raise NotImplementedError

    def _taken(self, member: str) -> None:
        """Something may be spent of a member's points that could not before; it counts."""
        raise NotImplementedError

    def keep_told(self, row: Member) -> bool:
        raise NotImplementedError

    def note_ask(self, nonce: bytes, card: bytes = b"") -> None:
        """`card` stands for the code that the ask names (`sync.phone_codes.whose_card`), where it names one."""
        self._set_asks([*self._asks(), _noted(nonce, card)][-MAX_ASKS:])

    def forget_asks(self) -> None:
        """What is asked for is over: an allowance that is not known here could be one that was forgotten."""
        if self._asks():
            self._set_asks([])

    def granted_so(self, member: str) -> tuple[str, ...]:
        """Allowances of a member in the live epoch of which the register heard by telephone alone."""
        rows = self._rows(
            "SELECT id FROM allowances WHERE member = ? AND epoch = ? AND number = ? ORDER BY id",
            (member, self.live_epoch_id(), UNNUMBERED),
        )
        return tuple(row[0] for row in rows)

    def take_grant(self, grant: Grant, member: str, told: Member | None = None) -> Taken:
        """Keeps what was granted of this member's points in the live epoch, which the caller has looked at.

        `told` is who is not known here before the grant tells of them.
        """
        asks, ask = self._asks(), _noted(grant.nonce, grant.whose if grant.sealed else b"")
        new = [part for part in grant.parts if not self._is_known(part)]
        if not self.is_sure():
            return "unsure"
        if ask not in asks or grant.epoch != self.live_epoch_id():
            return "not_asked" if new else "known"
        if told is not None and not self.keep_told(told):
            return "not_asked"
        for part in new:
            self._execute(
                "INSERT INTO allowances (id, member, epoch, number, points) VALUES (?, ?, ?, ?, ?)",
                (part.allowance, member, grant.epoch, UNNUMBERED, part.points),
            )
        self._set_asks([one for one in asks if one != ask])
        self._taken(member)
        return "taken" if new else "known"

    def _is_known(self, part: Part) -> bool:
        return self._row("SELECT 1 FROM allowances WHERE id = ?", (part.allowance,)) is not None

    def _asks(self) -> list[str]:
        kept = self.meta(_ASKS)
        return msgspec.json.decode(kept, type=list[str]) if kept is not None else []

    def _set_asks(self, nonces: Sequence[str]) -> None:
        self.set_meta(_ASKS, msgspec.json.encode(nonces).decode())


def _noted(nonce: bytes, card: bytes) -> str:
    """How an ask is remembered."""
    return f"{nonce.hex()} {card.hex()}" if card else nonce.hex()
