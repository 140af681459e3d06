"""The documents against the code: links lead somewhere, named files exist, every command is described."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from agent.cli import commands, run
from central import cli
from config.load import load_settings
from drivers.relay import process

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("agent", "central", "config", "drivers", "installer", "loyalty", "sync", "tests", "docs")

DEPLOYING = sorted(ROOT.glob("docs/deploy/*.md"))
# A program at the beginning of what a shell is told, with its words up to where another one begins.
_CALL = re.compile(r"(?:^|[ |(/\"'])(tillside|tillside-central) (?!tillside)((?:-*[a-z][^|;&>()\"'#]*))")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
_ROW = re.compile(r"^\| `([^`]+)` \|.*\|([^|]*)\|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    missing += [name for name in _FILE.findall(text) if not (ROOT / name).exists()]

    assert missing == []


@pytest.mark.parametrize("page", DEPLOYING, ids=lambda page: page.name)
def test_every_recipe_says_how_to_see_that_it_worked_and_how_to_undo_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert ("**Verify:**" in text, "**Undo:**" in text or "## Remove" in text) == (True, True)


@pytest.mark.parametrize("page", DEPLOYING, ids=lambda page: page.name)
def test_settings_of_a_recipe_are_ones(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(_indented(page)):
        if not re.match(r"\[\[?[a-z]+\]\]?\n", block):
            continue
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        load_settings(file, environment={})


@pytest.mark.parametrize("page", DEPLOYING, ids=lambda page: page.name)
def test_commands_of_a_recipe_exist_with_their_options(page: Path) -> None:
    known = {"tillside": dict(offered(commands.app)), "tillside-central": dict(offered(cli.app))}
    known["tillside"] |= {"run": {"--config"}, "relay": {"--config"}}
    missing = []
    for line in "\n".join(_indented(page)).splitlines():
        for program, words in _CALL.findall(line):
            path = next(
                (name for name in (" ".join(words.split()[:2]), words.split()[0]) if name in known[program]), None
            )
            options = set(re.findall(r"(?<= )--[a-z-]+", words)) - {"--json"}
            if path is None or not options <= known[program][path]:
                missing.append(f"{program} {words}")

    assert missing == []


def _indented(page: Path) -> list[str]:
    """What is to be typed or written somewhere."""
    text = page.read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE) if block.strip()]


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
