"""Which rules are in force, from the moment they are, and the file that tells a shared scanner's relay."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.inspection import RulesInForce
from agent.recognition import FILE_NAME, Recognition, RulesNotHandedOverError
from drivers.relay.rules_in_force import RULES_NAME
from loyalty.identification import MAX_RULES, IdentificationRule
from loyalty.identification_json import rules_from_json

CODE = "2912345678900"
OWN = IdentificationRule(name="own", kind="goods", prefixes=("2912",))
PLASTIC = IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,))
APP = IdentificationRule(name="app", kind="wallet", pattern="https://club.example/m/{code}")


def named(count: int) -> tuple[IdentificationRule, ...]:
    return tuple(IdentificationRule(name=f"r{number}", prefixes=(f"29{number:03}",)) for number in range(count))


def rule_of(recognition: Recognition, code: str = CODE) -> str | None:
    identifier = recognition.parse(f"]E0{code}").identifier
    return identifier.rule if identifier is not None else None


def test_a_rule_counts_from_the_next_scan_on() -> None:
    recognition = Recognition(())
    assert recognition.parse(f"]E0{CODE}").member is None

    recognition.use_central((PLASTIC,))
    member = recognition.parse(f"]E0{CODE}").member
    assert member is not None
    assert (member.code, member.claimed) == (CODE, True)

    recognition.use_central(())
    assert recognition.parse(f"]E0{CODE}").member is None


def test_a_driver_keeps_one_parse_and_hears_of_every_change() -> None:
    recognition = Recognition(())
    parse = recognition.parse

    recognition.use_central((PLASTIC,))

    assert parse(f"]E0{CODE}").member is not None


def test_the_settings_come_first() -> None:
    recognition = Recognition((OWN,))
    recognition.use_central((PLASTIC,))

    assert recognition.rules == (OWN, PLASTIC)
    assert recognition.parse(f"]E0{CODE}").member is None
    assert rule_of(recognition, "2999999999999") == "plastic"


def test_a_rule_of_the_settings_replaces_its_namesake() -> None:
    mine = IdentificationRule(name="plastic", prefixes=("28",), lengths=(13,))
    recognition = Recognition((mine,))
    recognition.use_central((PLASTIC, APP))

    assert recognition.rules == (mine, APP)
    assert recognition.in_force == RulesInForce(settings=1, centre=1)
    assert recognition.problem is None


@pytest.mark.parametrize(
    ("own", "central", "guesses"),
    [((), (), True), ((OWN,), (), True), ((), (PLASTIC,), False), ((OWN, APP), (), False)],
)
def test_codes_are_guessed_until_a_rule_says_what_a_card_is(
    own: tuple[IdentificationRule, ...], central: tuple[IdentificationRule, ...], guesses: bool
) -> None:
    recognition = Recognition(own)
    recognition.use_central(central)

    assert recognition.guesses is guesses


def test_what_is_too_much_for_one_register_is_left_out_and_said() -> None:
    recognition = Recognition((OWN, PLASTIC))
    recognition.use_central(named(MAX_RULES))

    assert len(recognition.rules) == MAX_RULES
    assert recognition.in_force == RulesInForce(settings=2, centre=MAX_RULES - 2)
    assert recognition.problem is not None
    assert "2 of the centre's" in recognition.problem


# The relay's file


class HandedOver:
    """`hand_over` under way, and how often it was ready."""

    def __init__(self, recognition: Recognition, folder: Path) -> None:
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(recognition.hand_over(folder, self._changed.set))

    async def written(self) -> None:
        await asyncio.wait_for(self._changed.wait(), 10)
        self._changed.clear()

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def test_the_relay_looks_for_the_file_that_is_written() -> None:
    assert FILE_NAME == RULES_NAME


async def test_the_relay_is_told_the_rules_and_every_change(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    recognition = Recognition((OWN,))
    handed = HandedOver(recognition, tmp_path)
    await handed.written()
    assert rules_from_json(file.read_bytes()) == (OWN,)

    recognition.use_central((PLASTIC, APP))
    await handed.written()
    assert rules_from_json(file.read_bytes()) == (OWN, PLASTIC, APP)

    await handed.stop()
    assert names(tmp_path) == [FILE_NAME]


async def test_each_shared_scanner_is_told(tmp_path: Path) -> None:
    folders = [tmp_path / "left", tmp_path / "right"]
    for folder in folders:
        folder.mkdir()
    recognition = Recognition(())
    handed = [HandedOver(recognition, folder) for folder in folders]
    for one in handed:
        await one.written()

    recognition.use_central((PLASTIC,))
    for one in handed:
        await one.written()

    assert {(folder / FILE_NAME).read_bytes() for folder in folders} == {(folders[0] / FILE_NAME).read_bytes()}
    for one in handed:
        await one.stop()


async def test_the_file_is_for_the_relays_group_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        handed = HandedOver(Recognition(()), tmp_path)
        await handed.written()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o640
    await handed.stop()


async def test_a_reader_finds_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given rules that the relay has, and a disk that tells what it was asked to keep
    file, synced = tmp_path / FILE_NAME, list[tuple[bool, bytes]]()
    recognition = Recognition(())
    handed = HandedOver(recognition, tmp_path)
    await handed.written()
    old = file.read_bytes()

    def told(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), file.read_bytes()))

    monkeypatch.setattr(os, "fsync", told)
    # when they change
    recognition.use_central((PLASTIC,))
    await handed.written()

    # then the content was kept while the old stood there, and the folder once the new did
    assert synced == [(False, old), (True, file.read_bytes())]
    assert old != file.read_bytes()
    await handed.stop()


async def test_a_folder_that_is_missing_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "scans"

    with pytest.raises(RulesNotHandedOverError, match=f"{folder} is not there: start the relay"):
        await Recognition(()).hand_over(folder, never)
    assert not folder.exists()


async def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.touch()

    with pytest.raises(RulesNotHandedOverError, match="check its owner and mode"):
        await Recognition(()).hand_over(folder, never)


@pytest.mark.parametrize("plant", [lambda at, _: os.mkfifo(at), lambda at, target: at.symlink_to(target)])
@pytest.mark.parametrize("name", [FILE_NAME, f".{FILE_NAME}.new"])
async def test_what_was_planted_in_the_folder_is_replaced_and_never_opened(
    tmp_path: Path, plant: Callable[[Path, Path], None], name: str
) -> None:
    # given somebody else's file behind a link, or a pipe that nobody reads
    folder, precious = tmp_path / "scans", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("keep me")
    plant(folder / name, precious)

    handed = HandedOver(Recognition((OWN,)), folder)
    await handed.written()

    assert precious.read_text() == "keep me"
    assert rules_from_json((folder / FILE_NAME).read_bytes()) == (OWN,)
    assert names(folder) == [FILE_NAME]
    await handed.stop()


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


def never() -> None:
    raise AssertionError("ready without a file")
