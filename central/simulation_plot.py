"""A replay as a picture: points by month and by rule, and who gains and who loses.

Owns the picture. Never computes what is in it. matplotlib is loaded only when one is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from central.simulation import Comparison, Outcome, Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".png", ".svg")
_WIDTH_IN, _HEIGHT_IN, _DPI = 11, 8, 120
_COLOURS: Final = ("#0b6e4f", "#d98e04")
_LOSS, _SAME = "#b3261e", "#8a8a8a"
# A picture shows the rules that give most; the table has all.
MAX_RULES_DRAWN: Final = 12
_LETTERS: Final = 24
# What matplotlib makes a formatter of.
_THOUSANDS: Final = "{x:,.0f}"


def draw(simulation: Simulation, file: Path) -> None:
    """Write the picture; the suffix of `file`, one of SUFFIXES, says as what. Raises OSError."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - 0.5 s and 40 MB that no other command needs

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DPI, layout="constrained")
    compared = simulation.comparison
    rows = figure.subplots(2, 2) if compared is not None else [figure.subplots(1, 2), None]
    _months(rows[0][0], simulation.outcomes)
    _rules(rows[0][1], simulation.outcomes)
    if compared is not None:
        _classes(rows[1][0], compared)
        _tiers(rows[1][1], simulation.outcomes)
    figure.suptitle(_title(simulation))
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(file, format=file.suffix[1:].lower(), metadata={"Date": None} if file.suffix == ".svg" else {})


def _title(simulation: Simulation) -> str:
    names = " against ".join(_name(outcome) for outcome in simulation.outcomes)
    days = f"{simulation.first} to {simulation.last}"
    return f"{names}: {simulation.receipts} receipts of {simulation.members} members, {days}"


def _name(outcome: Outcome) -> str:
    return f"{_short(outcome.program)} ({outcome.hash[:6]})"


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _months(axes: Axes, outcomes: tuple[Outcome, ...]) -> None:
    months = sorted({month for outcome in outcomes for month in outcome.by_month})
    for outcome, colour in zip(outcomes, _COLOURS, strict=False):
        axes.plot(
            months,
            [outcome.by_month.get(month, 0) for month in months],
            marker="o",
            color=colour,
            label=_name(outcome),
        )
    axes.set_title("Points by month of the receipt")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    _slant(axes)
    axes.yaxis.set_major_formatter(_THOUSANDS)
    axes.grid(axis="y", alpha=0.3)


def _rules(axes: Axes, outcomes: tuple[Outcome, ...]) -> None:
    most = {
        rule: max(outcome.by_rule.get(rule, 0) for outcome in outcomes) for each in outcomes for rule in each.by_rule
    }
    rules = sorted(most, key=lambda rule: (-most[rule], rule))[:MAX_RULES_DRAWN]
    _bars(
        axes,
        outcomes,
        [_short(rule) for rule in rules],
        [[one.by_rule.get(rule, 0) for rule in rules] for one in outcomes],
    )
    axes.set_title("Points by rule" + (f", the {MAX_RULES_DRAWN} largest" if len(most) > len(rules) else ""))


def _tiers(axes: Axes, outcomes: tuple[Outcome, ...]) -> None:
    tiers = sorted({one.tier for outcome in outcomes for one in outcome.by_tier})
    points = [{one.tier: one.points for one in outcome.by_tier} for outcome in outcomes]
    _bars(
        axes,
        outcomes,
        [_short(tier) or "no tier" for tier in tiers],
        [[by.get(tier, 0) for tier in tiers] for by in points],
    )
    axes.set_title("Points by the member's tier at the end")


def _bars(axes: Axes, outcomes: tuple[Outcome, ...], labels: list[str], values: list[list[int]]) -> None:
    """Bars from the top down, those of the programs beside one another."""
    height = 0.8 / len(outcomes)
    for place, (outcome, colour, row) in enumerate(zip(outcomes, _COLOURS, values, strict=False)):
        axes.barh([at + place * height for at in range(len(labels))], row, height, color=colour, label=_name(outcome))
    axes.set_yticks([at + height * (len(outcomes) - 1) / 2 for at in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_THOUSANDS)
    _slant(axes)
    axes.grid(axis="x", alpha=0.3)


def _classes(axes: Axes, compared: Comparison) -> None:
    names = [name for name, _ in compared.classes]
    colours = [_LOSS if name[0] == "-" else _COLOURS[0] if name[0] == "+" else _SAME for name in names]
    bars = axes.bar(names, [members for _, members in compared.classes], color=colours)
    axes.bar_label(bars)
    axes.set_title(
        f"Members by difference: {compared.gain.members} gain, {compared.lose.members} lose, {compared.same} same"
    )
    axes.set_xlabel("points more or less than under the second program")
    axes.margins(y=0.1)
    _slant(axes)


def _slant(axes: Axes) -> None:
    axes.tick_params(axis="x", rotation=30)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
