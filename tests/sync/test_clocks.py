"""A register whose clock is years off, jumps while it talks, or has an hour twice: nothing lost, nothing double."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from loyalty.identity import identified
from tests.faults.figures import Tell
from tests.sync.centre import receipt, register, running_centre, seed_of_this_run
from tests.sync.test_against_centre import CARD, MEMBER, known, up_to_date

SALES = 60
DECADE = timedelta(days=3652)
JUMPS = (timedelta(), timedelta(), DECADE, -DECADE, timedelta(hours=1), -timedelta(hours=1), -timedelta(days=40))
# Of ten readings of the clock, how many find that it has jumped.
JUMPY = 5


class JumpingClock:
    """Right until it is `let_loose`, then somewhere else again and again."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._off = timedelta()
        self.loose = False
        self.jumps = 0

    def __call__(self) -> datetime:
        if self.loose and self._dice.randrange(10) < JUMPY:
            self.jumps += 1
            self._off = self._dice.choice(JUMPS)
        return datetime.now(UTC) + self._off


async def test_a_clock_that_jumps_by_years_while_a_register_talks_loses_and_doubles_nothing(
    tmp_path: Path, tell: Tell
) -> None:
    clock = JumpingClock(random.Random(seed_of_this_run()))
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "till", centre, clock=clock) as till:
            await known(till)

            # when the clock jumps between any two things that the register does
            clock.loose = True
            for number in range(1, SALES + 1):
                await till.sell(receipt(number, CARD))
            await up_to_date(till)

            assert clock.jumps > SALES
            entries = [till.store.entry(item.number) for item in till.store.queue()]
        sold = [receipt(number, CARD).key for number in range(1, SALES + 1)]
        tell(centre.figures(sold, row=18, fault="a clock that jumps by years", points=clock.jumps))
        # then the order is that of the sales, and the register's own clock for it only grows
        assert [entry.key for entry in entries] == sold
        assert all(before.hlc < after.hlc for before, after in pairwise(entries))
        assert set(centre.counted(MEMBER)) == set(sold)


async def test_the_hour_that_a_night_has_twice_counts_every_sale_once(tmp_path: Path, tell: Tell) -> None:
    zone = ZoneInfo("Europe/Ljubljana")
    # given sales of the same minute before and after the clock went back, and of the night when an hour is missing
    moments = [
        *(datetime(2026, 10, 25, 2, 15, tzinfo=zone, fold=fold) for fold in (0, 1, 0, 1)),
        datetime(2026, 3, 29, 1, 59, tzinfo=zone),
        datetime(2026, 3, 29, 3, 0, tzinfo=zone),
    ]
    sales = [
        identified(replace(receipt(number, CARD), key="", also=(), issued_at=at, business_day=at.date()), b"")
        for number, at in enumerate(moments, start=1)
    ]
    async with running_centre(tmp_path / "centre") as centre, register(tmp_path / "till", centre) as till:
        await known(till)
        for sale in sales:
            await till.sell(sale)
        await up_to_date(till)

        tell(centre.figures({sale.key for sale in sales}, row=18, fault="nights when clocks change", points=2))
        assert set(centre.counted(MEMBER)) == {sale.key for sale in sales}
        assert len(centre.counted(MEMBER)) == len(moments)


async def test_a_centre_that_listens_on_ipv6_is_enrolled_with_and_sold_to(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre", listen="[::1]:0") as centre:
        assert centre.url.startswith("https://[::1]:")
        async with register(tmp_path / "till", centre) as till:
            await known(till)
            await till.sell(receipt(1, CARD))
            await up_to_date(till)

        assert set(centre.counted(MEMBER)) == {receipt(1, CARD).key}
