"""`python -m tests.bench NAME [--json]`, or `all`: runs benchmarks one after another and prints their reports."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.report import Report

# Each is the module of that name in this package, with `run() -> Report`.
NAMES = (
    "enqueue",
    "lookup",
    "scan",
    "scan_to_page",
    "footprint",
    "relay",
    "passthrough",
    "decode",
    "items",
    "evaluate",
    "redeem",
    "ingest",
    "catchup",
    "bootstrap",
    "two_way",
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Side-by-side figures.")
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--json", action="store_true", help="one JSON object per benchmark, a line each")
    chosen = parser.parse_args(arguments)
    for name in NAMES if chosen.name == "all" else (chosen.name,):
        report: Report = import_module(f"tests.bench.{name}").run()
        if chosen.json:
            print(msgspec.json.encode(report).decode(), flush=True)
        else:
            _show(report)
    return 0


def _show(report: Report) -> None:
    table = Table(title=report.name, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, figure in report.figures.items():
        points = figure.items() if isinstance(figure, dict) else [("", figure)]
        for point, value in points:
            table.add_row(f"{name} {point}".rstrip(), f"{value:,}" if not isinstance(value, str) else value)
    for name, ratio in (report.ratios or {}).items():
        table.add_row(name, f"× {ratio:,}")
    for name in report.absent:
        table.add_row(name, "absent")
    table.caption = f"{report.machine.cores} cores, {report.machine.fdatasync_per_s:,} fdatasync/s in this run"
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
