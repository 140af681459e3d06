"""A folder whose files change under the reader's hands, and calls that are meant to hurt."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.arrivals import ArrivalIntake
from agent.problem import MalformedBodyError
from agent.receipts import at_once
from agent.webhook import Webhook
from drivers.receipts.folder_source import FolderError, FolderReader, FolderRules
from tests.agent.shop import OPTIONS, Shop, at, receipt
from tests.faults.evidence import all_logs, file_bytes, store_values, wire_entries
from tests.faults.test_payment_cards import COUNT, as_json, digits_in, some_cards

SECRET = b"SECRET OF ANOTHER FOLDER "
TURNS = 2_000
# So much is read meanwhile at least, for which the two may need more turns: who is quicker is up to the machine.
READ = 6
GIVEN_UP_AFTER_S = 60
BODIES = 20_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


class Attacker(threading.Thread):
    """Swaps files, links, pipes, half-written files and the folder itself, as fast as it can."""

    def __init__(self, folder: Path, elsewhere: Path, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._elsewhere = elsewhere
        self._chance = chance
        self.stopped = threading.Event()
        self.turns = 0

    def run(self) -> None:
        aside = self._folder.with_name("aside")
        while not self.stopped.is_set():
            self.turns += 1
            with suppress(OSError):
                self._turn(self._folder / f"{self._chance.randrange(4)}.txt", aside)

    def _turn(self, path: Path, aside: Path) -> None:
        match self._chance.randrange(8):
            case 0:
                path.unlink(missing_ok=True)
                path.symlink_to(self._elsewhere / "secret.txt")
            case 1:
                path.unlink(missing_ok=True)
                os.mkfifo(path)
            case 2:
                path.unlink(missing_ok=True)
                os.link(self._elsewhere / "secret.txt", path)
            case 3:
                fresh = self._folder / "fresh.tmp"
                fresh.write_bytes(b"WHOLE " * self._chance.randrange(1, 500) + b"END")
                fresh.replace(path)
            case 4:
                path.unlink(missing_ok=True)
                (path.parent / "done").rename(path.parent / f"was-done-{self.turns}")
                (path.parent / "done").symlink_to(self._elsewhere)
            case 5:
                self._folder.rename(aside)
                self._folder.symlink_to(self._elsewhere)
                self._folder.unlink()
                aside.rename(self._folder)
            case _:
                (path.parent / "done").unlink(missing_ok=True)


def test_nothing_outside_is_read_or_moved_whatever_changes_meanwhile(tmp_path: Path) -> None:
    # given
    seed = random.randrange(2**32)
    print("seed", seed)
    folder, elsewhere = tmp_path / "drop", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "secret.txt").write_bytes(SECRET)
    reader = FolderReader(folder, FolderRules(complete="rename", settle_ms=0))
    attacker = Attacker(folder, elsewhere, random.Random(seed))

    # when
    attacker.start()
    read: list[bytes] = []
    try:
        given_up_at = time.monotonic() + GIVEN_UP_AFTER_S
        while (attacker.turns < TURNS or len(read) < READ) and time.monotonic() < given_up_at:
            try:
                for arrival in reader.read({}):
                    reader.finish(arrival, understood=arrival.refused is None)
                    if arrival.refused is None:
                        read.append(arrival.payload)
            except FolderError:
                time.sleep(0)  # the folder was away, or a link
    finally:
        attacker.stopped.set()
        attacker.join()
        reader.close()

    # then
    assert len(read) >= READ, f"seed {seed}"
    assert all(content.endswith(b"END") and content.startswith(b"WHOLE") for content in read), f"seed {seed}"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["secret.txt"], f"seed {seed}"
    assert (elsewhere / "secret.txt").read_bytes() == SECRET


def webhook(shop: Shop) -> Webhook:
    return Webhook(
        books=shop.books("pos"),
        store=shop.store,
        options=lambda: OPTIONS,
        scans_taken=at_once,
        now=lambda: at(0),
    )


async def test_of_a_body_that_is_no_receipts_nothing_but_a_refusal_comes(shop: Shop) -> None:
    # given bodies that are nearly receipts, and bombs
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    whole = as_json(1, "4111111111111111", chance)
    bombs = [b"[" * 200_000, b'{"a":' * 40_000, b'{"receipts":' * 20_000, b'"' * 200_000, b"\x00" * 1000, b"NaN"]
    bombs += [b'{"total_minor":1e999,"currency":"EUR"}', b'{"currency":"EUR","currency":"RSD","total_minor":NaN}']

    def body() -> bytes:
        mutated = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            at_byte = chance.randrange(len(mutated))
            mutated[at_byte : at_byte + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        return bytes(mutated)

    calls = webhook(shop)

    # when, then
    for document in [*bombs, *(body() for _ in range(BODIES))]:
        with suppress(MalformedBodyError):
            calls._decoded(document)


async def test_no_card_number_of_a_call_or_a_dropped_file_is_kept(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    seed, cards = some_cards()
    chance = random.Random(seed)
    folder = tmp_path / "drop"
    folder.mkdir()
    calls = webhook(shop)
    files = ArrivalIntake(
        source=FolderReader(folder, FolderRules(complete="rename", settle_ms=0, afterwards="leave")),
        books=shop.books("drop"),
        store=shop.store,
        options=lambda: OPTIONS,
        scans_taken=at_once,
    )

    # when each number stands in a call and its key, in a file and its name
    with all_logs(caplog) as told:
        for number, card in enumerate(cards, start=1):
            await calls.take(as_json(number, card, chance), card)
            (folder / f"{card}.prn").write_bytes(receipt(COUNT + number, tail=f"VISA {card}\n"))
        await files.take_new()

    # then every sale is there and no number is
    assert len(shop.bodies()) == 2 * COUNT, f"seed {seed}"
    sent = digits_in(await wire_entries(shop.store))
    raw = file_bytes(shop.folder / "state")
    shop.close()
    kept = digits_in(b"\n".join([*store_values(shop.folder / "state"), *(line.encode() for line in told)]))
    for card in cards:
        assert card not in sent, f"seed {seed}: {card}"
        assert card not in kept, f"seed {seed}: {card}"
        assert card.encode() not in raw, f"seed {seed}: {card}"
