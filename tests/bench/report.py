"""What a benchmark gives: figures, ratios against peers and raw limits, and the machine they were taken on."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tests.bench.machine import Machine

Figure = int | float | str | dict[str, int | float]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One benchmark's answer, in the JSON that others read. Ratios above 1 mean we are better.

    A peer that could not be started is named in `absent`, never guessed.
    """

    name: str
    figures: Mapping[str, Figure]
    machine: Machine
    ratios: dict[str, float] | None = None
    absent: tuple[str, ...] = ()


def rounded(value: float) -> int | float:
    """Three significant digits or a whole number: a benchmark knows no more."""
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")
