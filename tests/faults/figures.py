"""What each fault came to, in figures: a test tells its own, and all of them stand in one table at the end.

Owns the table. What is counted, and what of it must not be, is for the tests to say. README.md beside this says which
fault has which number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import pytest

_PROPERTY = "figures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How it went with one fault; None where there is nothing of the kind to count.

    `points` are the places or times at which it struck, `acknowledged` what had been promised by then, `lost` and
    `double` what of that was missing or counted twice in the end, `redelivered` what was sent once more.
    """

    row: int
    fault: str
    points: int
    acknowledged: int | None = None
    lost: int | None = None
    double: int | None = None
    redelivered: int | None = None


Tell = Callable[[Figures], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tells figures for the table, before they are asserted: what failed is to be seen there too."""
    return lambda figures: record_property(_PROPERTY, asdict(figures))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With xdist the reports come from the workers, and bring the figures with them."""
    told = [
        Figures(**value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if told:
        terminalreporter.section("faults, in figures")
        for line in table(told):
            terminalreporter.write_line(line)


def table(told: Iterable[Figures]) -> list[str]:
    """One line for each, in order of their rows, below a line of names."""
    ordered = sorted(told, key=lambda figures: (figures.row, figures.fault))
    cells = [[each.name for each in fields(Figures)]]
    cells += [
        ["–" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell for cell in _of(figures)]
        for figures in ordered
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in cells]


def _of(figures: Figures) -> list[int | str | None]:
    return [getattr(figures, each.name) for each in fields(figures)]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Numbers to the right, the words of the second column to the left."""
    return [
        cell.ljust(width) if place == 1 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
