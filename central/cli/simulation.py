"""`tillside-central program simulate`: past receipts under other programs, as tables and a picture."""

from __future__ import annotations

import io
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from central.cli.command import USAGE, Json, fail, failures, opened, program_of, read_input, say
from central.clock import utc_now
from central.simulation import Outcome, Replay, Side, Simulation
from central.simulation_plot import SUFFIXES, draw
from loyalty.money import to_major
from loyalty.program import Program

if TYPE_CHECKING:
    from central.past_receipts import PastReceipts

# Wide enough for every table here; where it is shown narrower, the terminal breaks it.
_WIDTH = 120
_MAX_PROGRAMS = 2


def program_simulate(
    *,
    program: Annotated[list[Path], typer.Option(help="The program's file; a second one is what it is compared with.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="The centre's data folder.", envvar="TILLSIDE_CENTRE_DATA")
    ] = None,
    receipts: Annotated[Path | None, typer.Option(help="Receipts of this file, and not of the centre.")] = None,
    point_value: Annotated[str, typer.Option(help="What a point is worth, in minor units: 1 or 0.5.")] = "",
    plot: Annotated[Path | None, typer.Option(help="Draw it into this .png or .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Replay past receipts under a program: points, cost, who gains and who loses. Nothing is written to the centre."""
    from central import programs
    from central.past_receipts import receipts_of_centre

    value = _value(point_value, as_json) if point_value else None
    if plot is not None and plot.suffix.lower() not in SUFFIXES:
        fail(as_json, f"--plot {plot}: name a file that ends in {' or '.join(SUFFIXES)}", USAGE)
    if len(program) > _MAX_PROGRAMS:
        fail(as_json, "--program: give one program, or one and another that it is compared with", USAGE)
    compared = [program_of(file, as_json) for file in program]
    if data is None and receipts is None:
        fail(as_json, "give --data for the receipts of a centre, or --receipts for those of a file", USAGE)
    if data is None:
        with failures(as_json):
            result = _replayed(compared, _of_file(receipts, as_json), value)
    else:
        with opened(data, as_json) as (_, database):
            if len(compared) == 1:
                in_force = database.read_now(lambda connection: programs.program_in_force(connection, utc_now()))
                compared += [in_force.program] if in_force is not None else []
            past = receipts_of_centre(database) if receipts is None else _of_file(receipts, as_json)
            result = _replayed(compared, past, value)
    if plot is not None:
        try:
            draw(result, plot)
        except OSError as error:
            fail(as_json, f"--plot {plot} cannot be written: {error.strerror}", USAGE)
    say(as_json, result, _text(result))


def _replayed(compared: list[Program], past: PastReceipts, value: Decimal | None) -> Simulation:
    replay, began = Replay(compared), time.perf_counter_ns()
    replay.take(past)
    return replay.result(
        point_value=value,
        without_member=past.without_member,
        left_out=past.left_out,
        seconds=Decimal(time.perf_counter_ns() - began).scaleb(-9),
    )


def _of_file(file: Path | None, as_json: bool) -> PastReceipts:
    from central.past_receipts import ReceiptsFileError, receipts_of_file

    try:
        return receipts_of_file(read_input(file or Path("-"), as_json))
    except ReceiptsFileError as error:
        fail(as_json, f"{file}: {error}")


def _value(text: str, as_json: bool) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        fail(as_json, f"--point-value {text!r} is no amount of minor units; write 1 or 0.5", USAGE)
    return value


# ---- what is printed


def _text(result: Simulation) -> str:
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, highlight=False, markup=False)
    console.print(
        f"{result.receipts} receipts of {result.members} members, {result.first or '-'} to {result.last or '-'}, "
        f"replayed in {result.seconds} s ({result.receipts_per_s} receipts/s)"
    )
    if result.without_member:
        console.print(f"{result.without_member} receipts belong to no member and were left out")
    if result.left_out:
        console.print(f"{result.left_out} receipts beyond what one member may have were left out")
    for table in _tables(result):
        console.print(table)
    file = console.file
    return file.getvalue().rstrip() if isinstance(file, io.StringIO) else ""


def _tables(result: Simulation) -> list[Table]:
    outcomes = result.outcomes
    rules = sorted({rule for one in outcomes for rule in one.by_rule})
    months = sorted({month for one in outcomes for month in one.by_month})
    tiers = sorted({tier.tier for one in outcomes for tier in one.by_tier})
    tables = [
        _table("Points", outcomes, [(label, [_fact(one, label) for one in outcomes]) for label in _facts(outcomes)]),
        _table("By rule", outcomes, [(rule, [str(one.by_rule.get(rule, 0)) for one in outcomes]) for rule in rules]),
        _table(
            "By month", outcomes, [(month, [str(one.by_month.get(month, 0)) for one in outcomes]) for month in months]
        ),
        _table(
            "By tier at the end",
            outcomes,
            [(tier or "no tier", [_tier(one, tier) for one in outcomes]) for tier in tiers],
        ),
    ]
    return [*tables, *_comparison(result)]


def _table(title: str, outcomes: tuple[Outcome, ...], rows: list[tuple[str, list[str]]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2), title_style="")
    table.add_column("")
    for one in outcomes:
        table.add_column(f"{one.program} {one.hash[:6]}", justify="right")
    for label, values in rows:
        table.add_row(label, *values)
    return table


def _facts(outcomes: tuple[Outcome, ...]) -> list[str]:
    facts = ["given", "taken back", "points", "cost", "members", "other currency", "waiting returns"]
    return [
        label for label in facts if any(_fact(one, label) not in ("", "0") for one in outcomes) or label == "points"
    ]


def _fact(one: Outcome, label: str) -> str:
    cost = "" if one.cost_minor is None else f"{to_major(one.cost_minor, one.currency)} {one.currency}"
    values: dict[str, int | str] = {
        "given": one.given,
        "taken back": -one.taken_back,
        "points": one.points,
        "cost": cost,
        "members": one.members,
        "other currency": one.other_currency,
        "waiting returns": one.waiting,
    }
    return str(values[label])


def _tier(one: Outcome, tier: str) -> str:
    found = next((each for each in one.by_tier if each.tier == tier), None)
    return "-" if found is None else f"{found.points} ({found.members} members)"


def _comparison(result: Simulation) -> list[Table]:
    if result.comparison is None:
        return []
    compared, (one, other) = result.comparison, result.outcomes
    table = Table(
        title=f"{one.program} {one.hash[:6]} against {other.program} {other.hash[:6]}: "
        f"{compared.gain.members} members gain {compared.gain.points}, {compared.lose.members} lose "
        f"{compared.lose.points}, {compared.same} have the same",
        title_justify="left",
        title_style="",
        box=None,
        padding=(0, 2),
    )
    for label in ("", "member", "points", "against", "difference"):
        table.add_column(label, justify="left" if label in ("", "member") else "right")
    for label, side in (("gains", compared.gain), ("loses", compared.lose)):
        _rows(table, label, side)
    classes = Table(title="Members by difference", title_justify="left", title_style="", box=None, padding=(0, 2))
    classes.add_column("points")
    classes.add_column("members", justify="right")
    for name, members in compared.classes:
        classes.add_row(name, str(members))
    return [table, classes]


def _rows(table: Table, label: str, side: Side) -> None:
    for each in side.largest:
        table.add_row(label, each.member, str(each.points), str(each.against), f"{each.points - each.against:+}")
