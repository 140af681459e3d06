"""What a register on Windows does not have is said before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.windows.limits import problems
from config.load import load_settings

SOURCE = '[[receipts]]\nname = "pos"\n'
SCANNER = '[[scanners]]\nname = "counter"\n'


def said(tmp_path: Path, text: str, platform: str) -> list[str]:
    file = tmp_path / "tillside.toml"
    file.write_text(text)
    return [str(problem) for problem in problems(load_settings(file), str(file), platform=platform)]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'{SOURCE}spool = "spool"\n', "[[receipts]] 'pos' spool"),
        (f'{SOURCE}folder = "drop"\n', "[[receipts]] 'pos' folder"),
        (f'{SCANNER}driver = "shared"\nspool = "spool"\n', "[[scanners]] 'counter' spool"),
        ('[update]\nroot = "1.root.json"\n', "update.root"),
    ],
)
def test_each_is_named_with_its_remedy(tmp_path: Path, text: str, key: str) -> None:
    (problem,) = said(tmp_path, text, "win32")

    assert str(tmp_path / "tillside.toml") in problem
    assert key in problem
    assert "docs/deploy/windows.md" in problem
    assert said(tmp_path, text, "linux") == []


def test_what_it_has_is_taken(tmp_path: Path) -> None:
    assert said(tmp_path, f'{SOURCE}webhook = true\n{SCANNER}port = "COM3"\n', "win32") == []
