"""The code page that nobody tells: what `doctor` shows of it, asks, and says to write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from agent.cli.doctor import doctor_command
from agent.doctor.checks import Check, Surroundings, checked
from agent.doctor.code_pages import MAX_JOBS, MAX_PAGES
from config.settings import PathSettings, ReceiptSettings, Settings
from tests.agent.shop import Shop

CUT = b"\x1dV\x00"
WORDS = "Plaćeno Šećer žuti račun"


def job(text: str, page: str, *, before: bytes = b"\x1b@") -> bytes:
    return before + f"SHOP\n{text}\n".encode(page) + CUT


async def code_pages(shop: Shop, **how: Any) -> list[Check]:
    source = ReceiptSettings(name="printer", spool=shop.spool, **how)
    settings = Settings(paths=PathSettings(state=shop.folder), receipts=(source,))
    report = await checked(Surroundings(settings=settings, file=shop.folder / "tillside.toml"))
    return [check for check in report.checks if check.area == "code page"]


async def test_a_page_that_is_only_guessed_is_shown_in_three(shop: Shop) -> None:
    # given a till that leaves the code page to the printer's switches
    shop.print(job(WORDS, "cp1250"))

    # when
    (check,) = await code_pages(shop)

    # then a person can compare
    assert (check.name, check.verdict) == ("printer", "degraded")
    assert check.choice
    assert check.choice.selected is None
    assert 2 <= len(check.choice.pages) <= MAX_PAGES
    assert (check.choice.pages[0].code_page, check.choice.pages[0].line) == ("CP1250", WORDS)
    assert len({page.line for page in check.choice.pages}) == len(check.choice.pages)
    assert 'code_page = "CP1250"' in check.said


async def test_a_selected_page_that_makes_no_sense_is_named(shop: Shop) -> None:
    shop.print(job(f"{WORDS} Đumbir", "cp852", before=b"\x1b@\x1bt\x02"))

    (check,) = await code_pages(shop)

    assert "ESC t 2" in check.said
    assert check.choice
    assert check.choice.selected == 2
    assert check.choice.pages[0].code_page == "CP852"


@pytest.mark.parametrize(
    ("printed", "how"),
    [
        (job(WORDS, "cp1250"), {"code_page": "CP1250"}),
        (job(WORDS, "cp852", before=b"\x1b@\x1bt\x12"), {"profile": "TM-T88V"}),
        (job("plain", "ascii"), {}),
        (b"text without commands, and ASCII\n", {}),
    ],
    ids=["set", "by profile", "ascii", "text"],
)
async def test_what_is_known_is_not_asked(shop: Shop, printed: bytes, how: dict[str, str]) -> None:
    shop.print(printed)

    assert await code_pages(shop, **how) == []


async def test_the_newest_jobs_are_looked_at(shop: Shop) -> None:
    """A printer that was exchanged is judged by what it prints now."""
    shop.print(job(WORDS, "cp852"))
    for _ in range(MAX_JOBS):
        shop.print(job(WORDS, "cp1250"))

    (check,) = await code_pages(shop)

    assert check.choice
    assert check.choice.pages[0].code_page == "CP1250"


async def test_a_line_holds_no_card_number_and_steers_no_terminal(shop: Shop) -> None:
    shop.print(job(f"{WORDS} 4111111111111111 \x07\x0e", "cp1250"))

    (check,) = await code_pages(shop)

    assert check.choice
    for page in check.choice.pages:
        assert "4111111111111111" not in page.line
        assert page.line.isprintable()


async def test_a_wrong_profile_is_a_problem_and_a_missing_spool_is_told_once(shop: Shop) -> None:
    shop.print(job(WORDS, "cp1250"))
    (check,) = await code_pages(shop, profile="NO-SUCH")
    assert (check.verdict, check.choice) == ("problem", UNSET)

    shop.spool.rename(shop.folder / "elsewhere")
    assert await code_pages(shop) == []


# As a person at the till runs it


def doctor(shop: Shop, ask: Callable[[str], str] | None, *, as_json: bool = False) -> None:
    file = shop.folder / "tillside.toml"
    file.write_text(f'[paths]\nstate = "state-of-none"\n[[receipts]]\nname = "printer"\nspool = "{shop.spool}"\n')
    doctor_command(test_sheet=None, scan_test=False, scanner=None, config=str(file), as_json=as_json, ask=ask)


def test_who_says_which_line_reads_right_is_told_what_to_write(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.print(job(WORDS, "cp1250"))
    asked: list[str] = []

    doctor(shop, lambda question: asked.append(question) or "1")  # type: ignore[func-returns-value]

    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines() if WORDS in line] == [["1", "CP1250"]]
    assert "its number" in asked[0].lower()
    assert said.endswith(
        'Write\n  code_page = "CP1250"\n'
        f'in {shop.folder / "tillside.toml"}, under the [[receipts]] with name = "printer", and start the agent '
        "again.\n"
    )


@pytest.mark.parametrize("answer", ["", "0", "9", "CP1250", "²"])
def test_who_chooses_none_is_told_where_to_look(shop: Shop, capsys: pytest.CaptureFixture[str], answer: str) -> None:
    shop.print(job(WORDS, "cp1250"))

    doctor(shop, lambda _question: answer)

    said = capsys.readouterr().out
    assert "self-test" in said
    assert "start the agent again" not in said


def test_where_nobody_can_answer_lines_are_shown_and_nothing_is_asked(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.print(job(WORDS, "cp1250"))

    doctor(shop, None)

    said = capsys.readouterr().out
    assert WORDS in said
    assert 'If the first one reads as on the paper, write\n  code_page = "CP1250"\n' in said
    assert "Which one" not in said


def test_in_json_the_lines_stand_in_the_check(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.print(job(WORDS, "cp1250"))

    doctor(shop, None, as_json=True)

    checks = json.loads(capsys.readouterr().out)["checks"]
    (check,) = [each for each in checks if each["area"] == "code page"]
    assert check["choice"]["selected"] is None
    assert set(check["choice"]["pages"][0]) == {"code_page", "certainty", "line"}
    assert check["choice"]["pages"][0]["line"] == WORDS
    assert all("choice" not in each for each in checks if each["area"] != "code page")


def test_the_spool_is_left_as_it_was(shop: Shop, tmp_path: Path) -> None:
    shop.print(job(WORDS, "cp1250"))
    before = {path.name: path.read_bytes() for path in shop.spool.iterdir()}

    doctor(shop, None)

    assert {path.name: path.read_bytes() for path in shop.spool.iterdir()} == before
    assert tmp_path in shop.spool.parents
