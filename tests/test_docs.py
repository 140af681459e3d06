"""The documents against the code: links lead somewhere, named files exist, every command is described."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from agent.cli import commands, run
from central import cli
from drivers.relay import process

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("agent", "central", "config", "drivers", "installer", "loyalty", "sync", "tests", "docs")

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
_ROW = re.compile(r"^\| `([^`]+)` \|.*\|([^|]*)\|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    missing += [name for name in _FILE.findall(text) if not (ROOT / name).exists()]

    assert missing == []


def described(section: str) -> dict[str, set[str]]:
    """Commands and their options as docs/commands.md lists them."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    part = text.split(f"## `{section}`")[1].split("\n## ")[0]
    rows = _ROW.findall(part)
    return {re.sub(r" [A-Z]+", "", command): set(re.findall(r"`(--[\w-]+)`", options)) for command, options in rows}


def offered(app: typer.Typer) -> Iterator[tuple[str, set[str]]]:
    """Commands and their options as the program has them; --json and --help go without saying."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for path, leaf in ([(f"{name} {sub}", one) for sub, one in getattr(command, "commands", {}).items()]) or [
            (name, command)
        ]:
            options = {option for parameter in leaf.params for option in parameter.opts if option.startswith("--")}
            yield path, options - {"--json", "--help"}


def options_in_help(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Options of a command that has a parser of its own."""
    with pytest.raises(SystemExit):
        main(["--help"])
    return set(re.findall(r"--[\w-]+", capsys.readouterr().out)) - {"--help", "--json"}


def test_every_command_of_a_register_is_described_and_exists(capsys: pytest.CaptureFixture[str]) -> None:
    parsed_apart = {"relay": options_in_help(process.main, capsys), "run": options_in_help(run.main, capsys)}

    assert described("tillside") == {**dict(offered(commands.app)), **parsed_apart}


def test_every_command_of_the_centre_is_described_and_exists() -> None:
    assert described("tillside-central") == dict(offered(cli.app))
