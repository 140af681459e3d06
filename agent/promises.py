"""What a register may promise a member whom it shows: the points that are safe here now, and what they buy.

Owns that answer, from the store alone. Never reserves anything, and knows no basket: whether goods that a reward is for
are bought is seen when a sale is priced (`agent.pricing`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.view import Promise, RewardView, Unsafe
from loyalty.allowances import Standing
from loyalty.member import Member
from loyalty.program import Program, ProgramError, Reward, program_from_json
from sync.programs import program_at
from sync.store.store import Store


class Promises:
    """Asks one store. The program in force is read once."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._read: tuple[str, Program | None] = ("", None)

    def of(self, member: Member) -> Promise:
        now = self._now()
        standing = self._store.standing(member, is_sure=self._store.is_sure())
        program = self._program(now)
        rewards = program.rewards if program is not None else ()
        if program is None or not rewards:
            return Promise(safe_offline=standing.safe, why=unsafe_because(standing))
        day = now.astimezone(ZoneInfo(program.time_zone)).date().isoformat()
        held = sorted((one for one in rewards if _holds(one, day)), key=lambda one: (one.priority, one.id))
        return Promise(
            safe_offline=standing.safe,
            why=unsafe_because(standing),
            rewards=tuple(_view(one, standing) for one in held if one.cost <= standing.balance),
        )

    def _program(self, now: datetime) -> Program | None:
        name = program_at(self._store, now)
        if name is None:
            return None
        if self._read[0] != name:
            signed = self._store.program(name)
            try:
                self._read = (name, program_from_json(signed.program.encode()) if signed is not None else None)
            except ProgramError:
                self._read = (name, None)  # booking says so, and has another one fetched
        return self._read[1]


def unsafe_because(standing: Standing) -> Unsafe | None:
    """Why less than the balance can be spent without asking; None where all of it can."""
    if standing.safe >= standing.balance:
        return None
    if not standing.is_sure:
        return "register_unsure"
    return "partly_granted" if standing.safe else "not_granted"


def _holds(reward: Reward, day: str) -> bool:
    return (reward.valid_from or day) <= day <= (reward.valid_until or day)


def _view(reward: Reward, standing: Standing) -> RewardView:
    return RewardView(
        reward=reward.id,
        title=reward.title or None,
        cost=reward.cost,
        times=standing.balance // reward.cost,
        safe=reward.cost <= standing.safe,
    )
